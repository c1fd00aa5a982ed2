//! Pairs of a persona's sentence and a reply, from a world and from files, and a classifier of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rapport::data::{Dialogue, Example, Role, Speaker};
use rapport::stage::artifact::measures::Measures;
use rapport::store::read_jsonl;
use rapport::world::persona::oracle::{Relation, judge_reply};
use serde_json::{Value, json};

use crate::cli::{root, run};
use crate::reward::artifact;

const SPLITS: [&str; 3] = ["train", "valid", "test"];

fn with(work: &Path, sets: &[&str]) -> (i32, String) {
    let recipe = root().join("tests/recipes/nli.toml").display().to_string();
    let mut arguments = vec!["run", &*recipe];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let (code, _, stderr) = run(work, &arguments);
    (code, stderr)
}

/// A pair as it is written: the sentence, the reply, the label.
fn pair(example: &Example) -> (String, String, String) {
    let text = example.prompt.text();
    let sentence = text
        .strip_prefix("Persona: ")
        .unwrap()
        .strip_suffix("\nBot:")
        .unwrap();
    assert_eq!(example.completions.len(), 1);
    let reply = example.completions[0].text.strip_prefix(' ').unwrap();
    let Role::Candidate(label) = &example.completions[0].role else {
        panic!("{example:?}")
    };
    (sentence.to_owned(), reply.to_owned(), label.clone())
}

fn pairs(artifact: &Path, split: &str) -> Vec<(String, String, String)> {
    let examples: Vec<Example> = read_jsonl(&artifact.join(format!("{split}.jsonl"))).unwrap();
    examples.iter().map(pair).collect()
}

#[test]
fn labels_are_the_oracles_classes_are_equal_and_splits_share_nothing() {
    let work = tempfile::tempdir().unwrap();
    let (code, stderr) = with(work.path(), &[]);
    assert_eq!(code, 0, "{stderr}");
    let nli = artifact(work.path(), "nli", "nli");
    let world = artifact(work.path(), "persona-world", "world");
    let measures = Measures::read(&nli).unwrap();
    let mut seen = BTreeSet::new();
    for split in SPLITS {
        let dialogues: Vec<Dialogue> = read_jsonl(&world.join(format!("{split}.jsonl"))).unwrap();
        let bot = |it: &Dialogue| -> Vec<String> {
            let turns = it.turns.iter().filter(|turn| turn.speaker == Speaker::Bot);
            turns.map(|turn| turn.text.clone()).collect()
        };
        let replies: BTreeSet<String> = dialogues.iter().flat_map(bot).collect();
        let sentences: BTreeSet<&String> = dialogues.iter().flat_map(|it| &it.persona).collect();
        let pairs = pairs(&nli, split);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut otherwise = 0;
        for (sentence, reply, label) in &pairs {
            let expected = match judge_reply(std::slice::from_ref(sentence), &[], reply).relation {
                Relation::Grounded => "entailment",
                Relation::Contradicting => "contradiction",
                Relation::Neither => "neutral",
            };
            assert_eq!(label, expected, "{sentence:?} {reply:?}");
            *counts.entry(label).or_default() += 1;
            assert!(replies.contains(reply) && sentences.contains(sentence));
            assert!(
                seen.insert((sentence.clone(), reply.clone())),
                "{sentence:?} {reply:?} twice"
            );
            otherwise += usize::from(label == "entailment" && !reply.starts_with(sentence));
        }
        let each = pairs.len() / 3;
        assert_eq!(
            counts,
            ["contradiction", "entailment", "neutral"]
                .map(|label| (label, each))
                .into()
        );
        assert!(each >= 10, "{split}: {each}");
        // Where a persona's fact is told by several personas, as in the larger split, it is told in several ways.
        if split == "train" {
            assert!(
                otherwise > each / 4,
                "entailment is more than the same words: {otherwise} of {each}"
            );
        }
        let number = |what: &str| measures.numbers[&format!("{split}{what}")];
        assert_eq!(number(""), pairs.len() as f64);
        assert_eq!(number("_neutral"), each as f64);
    }
    assert_eq!(pairs(&nli, "train").len(), 300);
    assert!(
        measures.numbers["train_held_out"] > 0.0,
        "something had to be kept out"
    );

    let classifier = artifact(work.path(), "reward-model", "classifier");
    let numbers = Measures::read(&classifier).unwrap().numbers;
    for name in [
        "test_accuracy",
        "recall.entailment",
        "recall.contradiction",
        "recall.neutral",
    ] {
        assert!((0.0..=1.0).contains(&numbers[name]), "{name}");
    }
    // `rapport score` finds the accuracy that was measured.
    let test = pairs(&nli, "test");
    let rows: Vec<String> = test
        .iter()
        .map(|(sentence, reply, _)| json!({"premise": sentence, "hypothesis": reply}).to_string())
        .collect();
    let file = work.path().join("rows.jsonl");
    std::fs::write(&file, rows.join("\n")).unwrap();
    let (code, stdout, stderr) = run(
        work.path(),
        &[
            "score",
            classifier.to_str().unwrap(),
            file.to_str().unwrap(),
        ],
    );
    assert_eq!(code, 0, "{stderr}");
    let right = stdout.lines().zip(&test).filter(|(line, (_, _, label))| {
        let line: Value = serde_json::from_str(line).unwrap();
        let scores = line["scores"].as_object().unwrap();
        let likeliest = scores
            .iter()
            .max_by(|a, b| a.1.as_f64().unwrap().total_cmp(&b.1.as_f64().unwrap()));
        likeliest.unwrap().0 == label
    });
    let accuracy = right.count() as f64 / test.len() as f64;
    assert!(
        (accuracy - numbers["test_accuracy"]).abs() < 1e-9,
        "{accuracy} {}",
        numbers["test_accuracy"]
    );
}

fn file(dir: &Path, name: &str, rows: &[(&str, &str, &str)]) -> PathBuf {
    let path = dir.join(name);
    let rows: Vec<Value> = rows
        .iter()
        .map(|(sentence, reply, label)| json!({"sentence1": reply, "sentence2": sentence, "label": label, "id": "x"}))
        .collect();
    std::fs::write(&path, Value::from(rows).to_string()).unwrap();
    path
}

#[test]
fn files_of_the_data_set_become_the_same_and_bad_ones_are_named() {
    let work = tempfile::tempdir().unwrap();
    let train = file(
        work.path(),
        "train.jsonl",
        &[
            ("i sail .", "boats !", "positive"),
            ("i sail .", "boats !", "positive"),
            ("i sail .", "i hate water .", "negative"),
            ("i sail .", "nice day .", "neutral"),
            ("i cook .", "soup !", "positive"),
        ],
    );
    let test = file(
        work.path(),
        "test.jsonl",
        &[
            ("i cook .", "soup !", "positive"),
            ("i cook .", "no .", "neutral"),
            ("i cook .", "never .", "negative"),
        ],
    );
    let recipe = |extra: &str| {
        let path = work.path().join("files.toml");
        let text = format!(
            "title = \"Files\"\nseeds = [1]\noutputs = [\"nli\"]\n[stage.nli]\nkind = \"nli\"\n{extra}"
        );
        std::fs::write(&path, text).unwrap();
        let (code, _, stderr) = run(work.path(), &["run", path.to_str().unwrap()]);
        (code, stderr)
    };
    let given = format!("train = {train:?}\ntest = {test:?}\n");
    let (code, stderr) = recipe(&given);
    assert_eq!(code, 0, "{stderr}");
    let nli = artifact(work.path(), "nli", "nli");
    let found: BTreeSet<_> = pairs(&nli, "train").into_iter().collect();
    let own = |sentence: &str, reply: &str, label: &str| {
        (sentence.to_owned(), reply.to_owned(), label.to_owned())
    };
    let expected = [
        own("i sail .", "boats !", "entailment"),
        own("i sail .", "i hate water .", "contradiction"),
        own("i sail .", "nice day .", "neutral"),
    ];
    assert_eq!(found, expected.into());
    let numbers = Measures::read(&nli).unwrap().numbers;
    assert_eq!(
        (
            numbers["train_repeated"],
            numbers["train_held_out"],
            numbers["test"]
        ),
        (1.0, 1.0, 3.0)
    );
    assert!(!nli.join("valid.jsonl").exists());

    let (code, stderr) = recipe("");
    assert!(
        code == 2 && stderr.contains("data: a persona world"),
        "{stderr}"
    );
    let bad = file(
        work.path(),
        "bad.jsonl",
        &[
            ("i sail .", "boats !", "positive"),
            ("i sail .", "", "maybe"),
        ],
    );
    let (code, stderr) = recipe(&format!("train = {bad:?}\n"));
    assert!(
        code == 2 && stderr.contains("bad.jsonl: item 2: label: expected positive"),
        "{stderr}"
    );
}
