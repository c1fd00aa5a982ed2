use tempfile::TempDir;

use super::*;
use crate::data::{Completion, Prompt};
use crate::stage::artifact::examples::{RowsSettings, Take, write_examples, write_settings};
use crate::stage::settings::splits::Split;

fn example(id: &str, group: &str, prompt: &str, completions: &[(&str, Role)]) -> Example {
    let completion = |(text, role): &(&str, Role)| Completion::new(*text, role.clone());
    Example {
        id: id.into(),
        group: group.into(),
        prompt: Prompt::Text(prompt.into()),
        completions: completions.iter().map(completion).collect(),
        meta: Default::default(),
    }
}

/// Pairs of two dialogues, the second of one turn, and one of no dialogue twice.
fn pairs() -> TempDir {
    let sides = [(" yes", Role::Chosen), (" no", Role::Rejected)];
    let rows = [
        ("1", "a", "A: one B:"),
        ("2", "a", "A: one B: yes A: two B:"),
        ("3", "b", "A: three B:"),
        ("4", "", "A: four B:"),
        ("5", "", "A: five B:"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let examples = rows.map(|(id, group, prompt)| Ok(example(id, group, prompt, &sides)));
    write_examples(dir.path(), Split::Train, examples).unwrap();
    let settings = RowsSettings {
        shuffle: false,
        by_dialogue: false,
        by_row: false,
    };
    write_settings(dir.path(), settings).unwrap();
    dir
}

fn taken(take: Take, dir: &Path) -> Vec<Example> {
    let examples = take.of_all(Split::Train.examples(dir).unwrap());
    examples.collect::<Result<_>>().unwrap()
}

#[test]
fn pairs_are_taken_whole_or_their_good_side_or_each_side_with_its_label() {
    let dir = pairs();
    let roles = |take| -> Vec<(String, Vec<Role>)> {
        let examples = taken(take, dir.path()).into_iter().take(2);
        let roles = |example: Example| example.completions.into_iter().map(|it| it.role).collect();
        examples.map(|it| (it.id.clone(), roles(it))).collect()
    };
    let one = |id: &str, roles: &[Role]| (id.to_owned(), roles.to_vec());
    let both = [Role::Chosen, Role::Rejected];
    assert_eq!(roles(Take::All), [one("1", &both), one("2", &both)]);
    assert_eq!(
        roles(Take::Good),
        [one("1", &[Role::Chosen]), one("2", &[Role::Chosen])]
    );
    assert_eq!(
        roles(Take::Labelled),
        [one("1", &[Role::Desirable]), one("1", &[Role::Undesirable])]
    );
    assert_eq!(taken(Take::Labelled, dir.path()).len(), 10);
    let texts: Vec<String> = taken(Take::Labelled, dir.path())[..2]
        .iter()
        .map(|example| example.prompt.text() + &example.completions[0].text)
        .collect();
    assert_eq!(texts, ["A: one B: yes", "A: one B: no"]);
}

#[test]
fn what_is_labelled_bad_is_not_imitated() {
    let labels = [Role::Undesirable, Role::Desirable, Role::Reply];
    let examples = labels.map(|role| example("1", "", "p", &[(" q", role)]));
    let good: Vec<Role> = examples
        .into_iter()
        .flat_map(|example| Take::Good.of(example))
        .map(|example| example.completions[0].role.clone())
        .collect();
    assert_eq!(good, [Role::Desirable, Role::Reply]);
}

#[test]
fn a_tokenised_set_has_the_labels_of_its_completions() {
    let dir = pairs();
    let tokenizer = Tokenizer::train_bpe(vec!["A: one B: yes no".into()], 260).unwrap();
    let set = |take: Take| {
        let encoding = Encoding {
            max_length: 64,
            min_prompt_kept: 0.5,
            group: Group::None,
            shuffle: false,
        };
        let examples = taken(take, dir.path()).into_iter().map(Ok);
        let mut measures = Measures::default();
        dataset(
            examples,
            &tokenizer,
            encoding,
            "",
            dir.path(),
            &mut measures,
        )
        .unwrap()
    };
    let labelled = set(Take::Labelled).examples;
    assert_eq!((labelled.len(), labelled.sequences()), (10, 10));
    for example in 0..10 {
        assert_eq!(labelled.desirable(example), Some(example % 2 == 0));
    }
    for (take, sequences) in [(Take::All, 10), (Take::Good, 5)] {
        let set = set(take).examples;
        assert_eq!((set.len(), set.sequences()), (5, sequences), "{take:?}");
        assert_eq!(set.desirable(0), None);
    }
}

#[test]
fn a_tokenizer_reads_of_each_dialogue_the_last_example() {
    let dir = pairs();
    assert_eq!(
        Split::Train.texts(dir.path()).unwrap(),
        [
            "A: one B: yes A: two B: yes",
            "A: three B: yes",
            "A: four B: yes",
            "A: five B: yes",
        ]
    );
    let error = Split::Valid.texts(dir.path()).unwrap_err().to_string();
    assert!(error.contains("its valid split is empty"), "{error}");
}

#[test]
fn the_replies_of_one_row_are_one_unit() {
    let mut groups = Groups::default();
    for id in ["row 1:1", "row 1:3", "row 2", "row 10:1", "row 11:1"] {
        groups.go_on(row_of(&example(id, "", "", &[])));
    }
    assert_eq!(groups.of, [0, 0, 1, 2, 3]);
}
