use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::data::Speaker;
use crate::stage::settings::keys::{Node, Reading, Scope};
use crate::store::{Stop, Store, read_jsonl};

const PEOPLE: [(&str, &str); 6] = [
    ("AA", "ジグソーパズル"),
    ("AB", "家庭菜園"),
    ("AC", "ウォーキング"),
    ("AD", "歴史小説"),
    ("AE", "スノーボード"),
    ("AF", "卓球部"),
];

/// An archive's folder: everybody chats with everybody else once. People who are both even or both odd speak of themselves;
/// those next to one another ask about it.
fn archive(dir: &Path) {
    let root = dir.join("real_persona_chat");
    fs::create_dir_all(root.join("dialogues")).unwrap();
    let person = |(name, thing): &(&str, &str)| {
        let persona = [format!("私は{thing}をする。"), "猫がすき。".to_owned()];
        ((*name).to_owned(), json!({"persona": persona}))
    };
    let people: BTreeMap<String, serde_json::Value> = PEOPLE.iter().map(person).collect();
    fs::write(root.join("interlocutors.json"), json!(people).to_string()).unwrap();
    let mut id = 0;
    for (one, (first, of_first)) in PEOPLE.iter().enumerate() {
        for (other, (second, of_second)) in PEOPLE.iter().enumerate().skip(one + 1) {
            id += 1;
            let mut texts = vec![format!("こんにちは{id}"), format!("どうも{id}")];
            if (one + other) % 2 == 0 {
                texts.push(format!("{of_first}をしています{id}"));
                texts.push(format!("わたしは{of_second}です{id}"));
            } else if other == one + 1 && one % 2 == 0 {
                texts.push(format!("{of_first}ってわかりますか{id}？"));
            } else {
                texts.push(format!("そうなんですね{id}"));
            }
            let says = |(at, text): (usize, &String)| {
                let who = [first, second][at % 2];
                json!({"interlocutor_id": who, "text": text})
            };
            let utterances: Vec<_> = texts.iter().enumerate().map(says).collect();
            let dialogue = json!({
                "dialogue_id": id, "interlocutors": [first, second], "utterances": utterances, "evaluations": [],
            });
            let path = root.join(format!("dialogues/{id:02}.json"));
            fs::write(path, dialogue.to_string()).unwrap();
        }
    }
}

fn files(settings: &str) -> Result<Box<dyn Stage>, String> {
    let node = Node::parse(Path::new("r.toml"), settings).unwrap();
    let (scope, mut found) = (Scope::default(), Reading::default());
    let mut keys = Keys::new(&scope, &node, &[], &mut found);
    let stage = read(&mut keys);
    drop(keys);
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    match problems.is_empty() {
        true => Ok(stage),
        false => Err(problems.join("\n")),
    }
}

/// What the stage makes of the archive in `dir`.
fn run(dir: &Path, settings: &str) -> Result<Measures, String> {
    let path = dir.join("real_persona_chat").display().to_string();
    make(
        dir,
        &format!("real_persona_chat = [{path:?}]\nvalid = 1\ntest = 1\n{settings}"),
    )
}

/// What the stage of those settings makes in `dir`.
fn make(dir: &Path, settings: &str) -> Result<Measures, String> {
    let stage = files(settings)?;
    let context = Context {
        dir: dir.to_owned(),
        seed: 0,
        backend: String::new(),
        inputs: BTreeMap::new(),
        label: "data".into(),
        stop: Stop::new(),
        store: Store::open(dir.join("store")).unwrap(),
    };
    stage.run(&context).map_err(|error| format!("{error:#}"))?;
    Ok(Measures::read(dir).unwrap())
}

fn split(dir: &Path, name: &str) -> Vec<Dialogue> {
    read_jsonl(&dir.join(format!("{name}.jsonl"))).unwrap()
}

/// The dialogue's number and the bot of a view or an item.
fn named(id: &str) -> (&str, &str) {
    let mut parts = id.split(':');
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn items_are_of_people_whom_no_split_has_met() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let measures = run(dir.path(), "ranking_people = 2").unwrap();
    let items: Vec<RankingItem> = read_jsonl(&dir.path().join("ranking.jsonl")).unwrap();
    // Each of the two speaks of themselves twice.
    assert_eq!(items.len(), 4);
    let people: BTreeSet<&str> = items.iter().map(|item| named(&item.id).1).collect();
    assert_eq!(people.len(), 2);
    // 15 dialogues; five of each of the two, one of them their own.
    assert_eq!(measures.numbers["held_out"], 9.0);

    let mut sides: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut kept: BTreeSet<String> = BTreeSet::new();
    for (name, dialogues) in [("train", 4), ("valid", 1), ("test", 1)] {
        let views = split(dir.path(), name);
        assert_eq!(views.len(), 2 * dialogues, "both sides of each");
        for view in views {
            let (number, bot) = named(&view.id);
            let thing = PEOPLE.iter().find(|it| it.0 == bot).unwrap().1;
            assert!(view.persona[0].contains(thing) && !people.contains(bot));
            sides.entry(number.to_owned()).or_default().insert(name);
            kept.extend(view.turns.into_iter().map(|turn| turn.text));
        }
    }
    assert!(
        sides.values().all(|of| of.len() == 1),
        "a dialogue is of one split"
    );

    for item in &items {
        let (_, bot) = named(&item.id);
        let thing = PEOPLE.iter().find(|it| it.0 == bot).unwrap().1;
        assert!(item.persona[0].contains(thing));
        assert_eq!(item.history.last().unwrap().speaker, Speaker::User);
        let labelled = |label: &str| -> Vec<&str> {
            let of = item.candidates.iter().filter(|it| it.1 == label);
            of.map(|it| &*it.0).collect()
        };
        let [gold] = labelled("hits")[..] else {
            panic!("{item:?}")
        };
        // Said in the other of the two dialogues in which this person does.
        let [entailed] = labelled("entail")[..] else {
            panic!("{item:?}")
        };
        assert_ne!(gold, entailed);
        assert!(gold.contains(thing) && entailed.contains(thing));
        let random = labelled("random");
        assert!(random.len() > 4, "{random:?}");
        assert!(random.iter().all(|text| !text.contains(thing)));
        let things = PEOPLE.map(|it| it.1);
        let of_others =
            |text: &&str| things.iter().any(|it| text.contains(it)) && !text.contains('？');
        assert!(
            random.iter().any(of_others),
            "what others say of themselves"
        );
        let texts = item.candidates.iter().map(|it| &it.0);
        for text in texts.chain(item.history.iter().map(|turn| &turn.text)) {
            assert!(!kept.contains(text), "{text} is trained on");
        }
        assert!(!item.candidates.iter().any(|it| it.1 == "contradict"));
        assert!(!gold.contains('？') && !entailed.contains('？'));
    }
}

#[test]
fn the_seed_alone_decides() {
    let [first, again, other] = [1, 1, 2].map(|seed| {
        let dir = tempfile::tempdir().unwrap();
        archive(dir.path());
        run(
            dir.path(),
            &format!("ranking_people = 2\nranking_items = 3\nseed = {seed}"),
        )
        .unwrap();
        ["ranking", "train", "valid", "test"]
            .map(|name| fs::read(dir.path().join(format!("{name}.jsonl"))).unwrap())
    });
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn too_few_people_and_keys_of_no_archive_are_named() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let error = run(dir.path(), "ranking_people = 7").unwrap_err();
    assert!(
        error.contains("only 6 people") && error.contains("lower ranking_people"),
        "{error}"
    );
    let error = files("ranking_people = 3").err().unwrap();
    assert!(
        error.contains("ranking_people: goes with real_persona_chat alone"),
        "{error}"
    );
    let error = run(dir.path(), "ranking_people = 5").unwrap_err();
    assert!(error.contains("too few for 1 of validation"), "{error}");
}

/// The settings that read ten dialogues, and twelve items: four personas with three dialogues each, of which none is among
/// the ten.
fn labelled(dir: &Path) -> String {
    let dialogues =
        (0..10).map(|at| format!("1 your persona: i am {at} .\n2 who {at} ?\ti am {at} .\n"));
    let convai2 = dir.join("dialogues.txt");
    fs::write(&convai2, dialogues.collect::<String>()).unwrap();
    let items = (0..12).map(|at| {
        let row = json!({
            "persona": [format!("i like {} .", at / 3)],
            "prefix": [format!("item {at} ?")],
            "candidates": {"label": [format!("{at} it is .")], "similar": [], "rand": ["no ."], "neg": []},
        });
        format!("{row}\n")
    });
    let ranking = dir.join("items.jsonl");
    fs::write(&ranking, items.collect::<String>()).unwrap();
    format!("convai2 = [{convai2:?}]\ndialogue_nli = [{ranking:?}]\nvalid = 2\ntest = 3\n")
}

#[test]
fn items_for_validation_share_no_persona_with_those_for_test() {
    let dir = tempfile::tempdir().unwrap();
    let settings = labelled(dir.path());
    let personas = |items: ItemSplit| -> Vec<String> {
        let items: Vec<RankingItem> = read_jsonl(&dir.path().join(items.name())).unwrap();
        items
            .into_iter()
            .map(|item| item.persona.concat())
            .collect()
    };
    let measures = make(dir.path(), &settings).unwrap();
    assert_eq!(measures.numbers["ranking_items"], 12.0);
    assert_eq!(personas(ItemSplit::Valid), [""; 0]);
    // Half of twelve is two personas of three; a third and a bit is one.
    for (share, of_valid) in [(0.5, 6), (0.4, 3), (0.1, 0)] {
        make(dir.path(), &format!("{settings}valid_items = {share}")).unwrap();
        let (valid, test) = (personas(ItemSplit::Valid), personas(ItemSplit::Test));
        assert_eq!((valid.len(), test.len()), (of_valid, 12 - of_valid));
        assert!(valid.iter().all(|persona| !test.contains(persona)));
    }
}

#[test]
fn fewer_training_dialogues_are_among_more() {
    let dir = tempfile::tempdir().unwrap();
    let settings = labelled(dir.path());
    let train = |count: usize| -> Result<Vec<String>, String> {
        make(dir.path(), &format!("{settings}train = {count}"))?;
        let read = split(dir.path(), "train");
        Ok(read.into_iter().map(|it| it.id).collect())
    };
    let all = train(0).unwrap();
    assert_eq!(all.len(), 5);
    assert_eq!(train(2).unwrap(), all[..2]);
    assert_eq!(
        train(6).unwrap_err(),
        "train: expected at most the 5 dialogues that are left for training, found 6"
    );
}
