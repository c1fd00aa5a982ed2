use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::store::{Stop, Store, read_jsonl};

/// Ten dialogues, and twelve items: four personas with three dialogues each, of which part is among the ten.
fn files(dir: &Path) -> Files {
    let dialogues =
        (0..10).map(|at| format!("1 your persona: i am {at} .\n2 who {at} ?\ti am {at} .\n"));
    let convai2 = dir.join("dialogues.txt");
    fs::write(&convai2, dialogues.collect::<String>()).unwrap();
    let items = (0..12).map(|at| {
        let persona = at / 3;
        let row = serde_json::json!({
            "persona": [format!("i like {persona} .")],
            "prefix": [format!("item {at} ?")],
            "candidates": {"label": [format!("{at} it is .")], "similar": [], "rand": ["no ."], "neg": []},
        });
        format!("{row}\n")
    });
    let ranking = dir.join("items.jsonl");
    fs::write(&ranking, items.collect::<String>()).unwrap();
    Files {
        convai2: vec![convai2],
        synthetic: Vec::new(),
        ranking: vec![ranking],
        valid: 2,
        test: 3,
        train: 0,
        valid_items: 0.0,
        seed: 1,
    }
}

fn run(files: &Files, dir: &Path) -> Result<Measures, String> {
    fs::create_dir_all(dir).unwrap();
    let context = Context {
        dir: dir.into(),
        seed: 0,
        backend: "flex".into(),
        inputs: BTreeMap::new(),
        label: "data".into(),
        stop: Stop::new(),
        store: Store::open(dir).unwrap(),
    };
    files.run(&context).map_err(|error| format!("{error:#}"))?;
    Ok(Measures::read(dir).unwrap())
}

fn items(dir: &Path, items: Items) -> Vec<String> {
    let items: Vec<RankingItem> = read_jsonl(&dir.join(items.name())).unwrap();
    items
        .into_iter()
        .map(|item| item.persona.concat())
        .collect()
}

#[test]
fn items_for_validation_share_no_persona_with_those_for_test() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    let (all, part) = (dir.path().join("all"), dir.path().join("part"));
    let measures = run(&files, &all).unwrap();
    assert_eq!(measures.numbers["ranking_items"], 12.0);
    assert_eq!(items(&all, Items::Valid), [""; 0]);
    // Half of twelve is two personas of three; a third and a bit is one.
    for (share, of_valid) in [(0.5, 6), (0.4, 3), (0.1, 0)] {
        files.valid_items = share;
        run(&files, &part).unwrap();
        let (valid, test) = (items(&part, Items::Valid), items(&part, Items::Test));
        assert_eq!(
            (valid.len(), test.len()),
            (of_valid, 12 - of_valid),
            "{share}"
        );
        assert!(
            valid.iter().all(|persona| !test.contains(persona)),
            "{share}"
        );
    }
}

#[test]
fn fewer_training_dialogues_are_among_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    let mut train = |count| -> Result<Vec<String>, String> {
        files.train = count;
        let out = dir.path().join(format!("train-{count}"));
        run(&files, &out)?;
        let read: Vec<Dialogue> = read_jsonl(&out.join("train.jsonl")).unwrap();
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
