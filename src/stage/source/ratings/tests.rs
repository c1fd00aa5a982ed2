use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::stage::artifact::examples::read_examples;
use crate::stage::artifact::rated_set::RatedSet;
use crate::stage::settings::keys::{Node, Reading, Scope};
use crate::store::{Stop, Store};

fn stage(settings: &str) -> Result<Box<dyn Stage>, String> {
    let node = Node::parse(Path::new("r.toml"), settings).unwrap();
    let (scope, mut found) = (Scope::default(), Reading::default());
    let mut keys = Keys::new(&scope, &node, &[], &mut found);
    let stage = read(&mut keys);
    drop(keys);
    match found.problems.first() {
        Some(problem) => Err(problem.to_string()),
        None => Ok(stage),
    }
}

/// Runs the stage on a file of the given content.
fn run(dir: &Path, name: &str, text: &str, settings: &str) -> Result<Measures, String> {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    let stage = stage(&format!(
        "path = {:?}\n{settings}",
        path.display().to_string()
    ))?;
    let context = Context {
        dir: dir.to_owned(),
        seed: 0,
        backend: String::new(),
        inputs: BTreeMap::new(),
        label: "ratings".into(),
        stop: Stop::new(),
        store: Store::open(dir.join("store")).unwrap(),
    };
    stage.run(&context).map_err(|error| format!("{error:#}"))?;
    Ok(Measures::read(dir).unwrap())
}

/// 40 dialogues, each rated by two of four raters who differ in their means.
fn rows() -> Vec<Value> {
    let score = |dialogue: usize, rater: usize| ((dialogue * 7 % 5) + rater) as f64;
    (0..40)
        .map(|dialogue| {
            let rating = |rater: usize| {
                let own = score(dialogue, rater);
                json!({"rater": format!("r{rater}"), "scores": {"ease": own, "trust": 8.0 - own}})
            };
            let turn = |speaker: &str, text: String| json!({"speaker": speaker, "text": text});
            json!({
                "id": format!("d{dialogue}"),
                "system": format!("s{}", dialogue % 5),
                "turns": [turn("user", format!("hello {dialogue}.")), turn("bot", "hi.".into()),
                    turn("user", "well?".into()), turn("bot", "well.".into())],
                "ratings": [rating(dialogue % 4), rating((dialogue + 1) % 4)],
            })
        })
        .collect()
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn examples(dir: &Path, split: Split) -> Vec<Example> {
    let examples = read_examples(dir, split).unwrap();
    examples.map(Result::unwrap).collect()
}

#[test]
fn splits_rows_and_prompts_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = rows();
    rows[3]["ratings"] = json!([]);
    let settings = "split_by = \"system\"\nvalid = 0.2\ntest = 0.2\nimpressions = [\"ease\"]";
    let measures = run(dir.path(), "in.jsonl", &lines(&rows), settings).unwrap();
    let number = |name: &str| measures.numbers[name];
    for (name, units) in [("train", 3.0), ("valid", 1.0), ("test", 1.0)] {
        assert_eq!(number(&format!("{name}_units")), units);
        assert_eq!(number(&format!("{name}_dialogues")), 8.0 * units);
    }
    let sets = SPLITS.map(|split| RatedSet::open(dir.path(), split).unwrap());
    let rated: usize = sets.iter().map(|set| set.rows.len()).sum();
    assert_eq!((rated, number("unrated")), (39, 1.0));
    let systems = sets.each_ref().map(|set| {
        let systems = set.rows.iter().map(|row| row.system.clone());
        systems.collect::<BTreeSet<_>>()
    });
    assert!(systems[0].is_disjoint(&systems[1]) && systems[0].is_disjoint(&systems[2]));
    assert!(systems[1].is_disjoint(&systems[2]));
    let scores = sets
        .iter()
        .flat_map(|set| &set.rows)
        .flat_map(|row| &row.ratings);
    assert!(
        scores
            .into_iter()
            .all(|rating| rating.scores.keys().eq(["ease"]))
    );
    assert!(!measures.numbers.contains_key("mean.trust"));
    // The unrated dialogue is to be imitated all the same.
    assert_eq!(examples(dir.path(), Split::Train).len(), 48);
    let prompts = examples(dir.path(), Split::Prompts);
    assert_eq!(prompts.len(), 8);
    let test: BTreeSet<&str> = sets[2].rows.iter().map(|row| &*row.id).collect();
    for prompt in &prompts {
        assert!(test.contains(&*prompt.group) || prompt.group == "d3");
        assert!(prompt.prompt.text().ends_with("User: well?\nBot:"));
        assert_eq!(prompt.completions[0].text, " well.");
    }
    // Fewer replies, if wished.
    let dir = tempfile::tempdir().unwrap();
    run(
        dir.path(),
        "in.jsonl",
        &lines(&rows),
        &format!("{settings}\nreplies = 1"),
    )
    .unwrap();
    let drawn = examples(dir.path(), Split::Train);
    assert_eq!(drawn.len(), 24);
    let first = drawn.iter().filter(|it| it.id.ends_with(":1")).count();
    assert!((1..24).contains(&first), "{first}");
}

#[test]
fn centred_scores_are_read_again_and_show_the_raters_agreement() {
    let dir = tempfile::tempdir().unwrap();
    let measures = run(
        dir.path(),
        "in.jsonl",
        &lines(&rows()),
        "centre = \"rater\"",
    )
    .unwrap();
    let set = RatedSet::open(dir.path(), Split::Train).unwrap();
    assert!(set.centred);
    assert_eq!(set.scale.high, 10.0);
    let number = |name: &str| measures.numbers[name];
    // Raters differ by their offset alone.
    assert!(number("rater_share.ease") > 0.2, "{measures:?}");
    assert!(number("reliability.ease") < 0.8, "{measures:?}");
    assert!(number("centred_reliability.ease") > 0.95, "{measures:?}");
    let plain = tempfile::tempdir().unwrap();
    run(plain.path(), "in.jsonl", &lines(&rows()), "").unwrap();
    assert!(!RatedSet::open(plain.path(), Split::Train).unwrap().centred);
    // Nobody has rated twice.
    let mut single = rows();
    for (at, row) in single.iter_mut().enumerate() {
        row["ratings"] = json!([{"rater": format!("only {at}"), "scores": {"ease": 1}}]);
    }
    let error = run(
        dir.path(),
        "in.jsonl",
        &lines(&single),
        "centre = \"rater\"",
    )
    .unwrap_err();
    assert!(
        error.contains("centre needs raters with several dialogues"),
        "{error}"
    );
}

#[test]
fn files_of_their_own_and_shared_dialogues() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows();
    fs::write(dir.path().join("test.jsonl"), lines(&rows[28..])).unwrap();
    let settings = format!(
        "split_by = \"files\"\ntest = {:?}",
        dir.path().join("test.jsonl").display().to_string()
    );
    let measures = run(dir.path(), "in.jsonl", &lines(&rows[..30]), &settings).unwrap();
    assert_eq!(measures.numbers["shared_with_train"], 2.0);
    assert_eq!(
        (measures.numbers["train"], measures.numbers["test"]),
        (30.0, 12.0)
    );
    let error = RatedSet::open(dir.path(), Split::Valid)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no rated dialogues in its valid split"),
        "{error}"
    );
}

#[test]
fn a_table_is_read_by_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = "Talk,Who,Q1,Q2,Length\n".to_owned();
    for dialogue in 0..20 {
        for who in ["ann", "bob"] {
            let q = dialogue % 5 + 1;
            text.push_str(&format!(
                "\"A: hello {dialogue}\nB: hi\",{who},{q},{},99\n",
                q % 2
            ));
        }
    }
    let settings = "format = \"table\"\nlow = 1\nhigh = 5\nuser_names = [\"A\"]\nbot_names = [\"B\"]\n\
                    [columns]\ntext = \"Talk\"\nrater = \"Who\"\n\
                    [scores]\nease = \"Q1\"\ntrust = [\"Q2\"]\n[scales]\ntrust = [0, 1]\n";
    let measures = run(dir.path(), "in.csv", &text, settings).unwrap();
    assert_eq!(measures.numbers["train_ratings"], 32.0);
    assert_eq!(measures.numbers["mean.ease"], 3.0);
    assert!((measures.numbers["mean.trust"] - (0.6 * 5.0 + 0.4)).abs() < 1e-12);
    assert!((measures.numbers["reliability.ease"] - 1.0).abs() < 1e-12);
    // Without names for the columns, messages say how to give them.
    let error = run(dir.path(), "in.csv", &text, "").unwrap_err();
    for expected in [
        "in.csv:2: ",
        "\"Talk\", \"Who\", \"Q1\"",
        "set format = \"table\"",
        "columns.text",
    ] {
        assert!(error.contains(expected), "{expected}\nnot in\n{error}");
    }
    let error = run(
        dir.path(),
        "in.csv",
        &text,
        &settings.replace("\"Q1\"", "\"Q3\""),
    )
    .unwrap_err();
    assert!(
        error.contains("there is no column \"Q3\"; the columns are"),
        "{error}"
    );
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (settings, expected) in [
        (
            "low = 3\nhigh = 3",
            "high: expected a number above low, which is 3, found 3",
        ),
        (
            "format = \"dstc9\"\nhigh = 3",
            "high: goes with format = \"rapport\" or \"table\" alone",
        ),
        (
            "format = \"dstc9\"\nsplit_by = \"files\"",
            "split_by: only rapport's own form and tables",
        ),
        (
            "format = \"table\"\nscales = {a = [3, 1]}",
            "scales.a: expected two numbers, the lower one first",
        ),
        ("impressions = [\"mood\"]", "impressions: "),
        (
            "split_by = \"speaker\"",
            "split_by: d0 does not say its speaker",
        ),
        (
            "valid = 0.5\ntest = 0.5",
            "40 dialogues cannot be split into 20 for validation, 20 for test",
        ),
    ] {
        let error = run(dir.path(), "in.jsonl", &lines(&rows()), settings).unwrap_err();
        assert!(error.contains(expected), "{expected}\nnot in\n{error}");
    }
}
