use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::data::Tokenizer;
use crate::stage::settings::keys::{Node, Offer, Reading, Scope};
use crate::store::{Stop, Store};

fn scope() -> Scope {
    let mut scope = Scope::default();
    for (name, produces) in [
        ("pairs", Produces::Pairs),
        ("others", Produces::Pairs),
        ("model", Produces::Model),
    ] {
        let offer = Offer {
            kind: "x",
            produces,
        };
        scope.stages.insert(name.into(), Some(offer));
    }
    scope
}

fn stage(settings: &str) -> Result<Box<dyn Stage>, String> {
    let node = Node::parse(Path::new("r.toml"), settings).unwrap();
    let (scope, mut found) = (scope(), Reading::default());
    let mut keys = Keys::new(&scope, &node, &[], &mut found);
    let stage = read(&mut keys);
    drop(keys);
    match found.problems.first() {
        Some(problem) => Err(problem.to_string()),
        None => Ok(stage),
    }
}

/// Rejected replies, to which all chosen ones are "tea please".
const REJECTED: [&str; 4] = ["tea please!", "coffee", "tea", "zzz"];

/// Pairs whose rejected replies are ids that no text gives.
struct Pairs(tempfile::TempDir);

impl Pairs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pairs = Self(dir);
        let row = |(at, text): (usize, &&str)| {
            let prompt = json!({"turns": [{"speaker": "user", "text": "what will it be?"}]});
            json!({
                "id": format!("p{at}"), "group": "", "prompt": prompt,
                "completions": [
                    {"text": " tea please", "role": "chosen"},
                    {"text": text, "role": "rejected", "tokens": [at, 7, 7, 0]},
                ],
                "meta": {"at": at},
            })
            .to_string()
                + "\n"
        };
        let rows: String = REJECTED.iter().enumerate().map(row).collect();
        for name in ["pairs", "others"] {
            let dir = pairs.at(name);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("train.jsonl"), &rows).unwrap();
            fs::write(dir.join("valid.jsonl"), &rows).unwrap();
            let tokenizer = Tokenizer::train_bpe(vec!["tea please".into()], 270).unwrap();
            drawn::write(&dir, &tokenizer).unwrap();
            let settings = RowsSettings {
                shuffle: false,
                by_dialogue: true,
                by_row: false,
            };
            write_settings(&dir, settings).unwrap();
            let kwargs = [("deep".to_owned(), Value::from(true))];
            write_kwargs(&dir, &kwargs.into_iter().collect()).unwrap();
        }
        pairs
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The places of the pairs that are kept, and what was measured.
    fn kept(&self, settings: &str) -> Result<(Vec<usize>, Measures), String> {
        let stage = stage(&format!("data = \"@pairs\"\n{settings}"))?;
        let dir = self.at("out");
        fs::create_dir_all(&dir).unwrap();
        let inputs = ["pairs", "others"].map(|name| (name.to_owned(), self.at(name)));
        let context = Context {
            dir: dir.clone(),
            seed: 1,
            backend: String::new(),
            inputs: BTreeMap::from(inputs),
            label: "filter".into(),
            stop: Stop::new(),
            store: Store::open(self.at("store")).unwrap(),
        };
        stage.run(&context).map_err(|error| format!("{error:#}"))?;
        let lines = |path: PathBuf| -> Vec<Value> {
            let text = fs::read_to_string(path).unwrap();
            text.lines()
                .map(|it| serde_json::from_str(it).unwrap())
                .collect()
        };
        let all = lines(self.at("pairs/train.jsonl"));
        let kept = lines(dir.join("train.jsonl"));
        // Every line that is kept is one of the source's, its ids and all else as they were.
        let place = |line| all.iter().position(|it| it == line).unwrap();
        let places = kept.iter().map(place).collect();
        Ok((places, Measures::read(&dir).unwrap()))
    }
}

#[test]
fn the_least_like_are_kept_in_order_and_all_else_is_handed_on() {
    let pairs = Pairs::new();
    let (kept, measures) = pairs.kept("by = \"likeness\"").unwrap();
    assert_eq!(kept, [1, 3]);
    for file in [
        "valid.jsonl",
        "drawn.json",
        "rows.json",
        "chat_template_kwargs.json",
    ] {
        let [from, to] = ["pairs", "out"].map(|dir| fs::read(pairs.at(dir).join(file)).unwrap());
        assert_eq!(from, to, "{file}");
    }
    let number = |name: &str| measures.numbers[name];
    assert_eq!((number("train_pairs"), number("train_dropped")), (2.0, 2.0));
    assert_eq!(number("likeness.min"), 0.0);
    assert!(number("likeness.kept") < number("likeness.p50"));
    assert!(number("likeness.dropped") > number("likeness.p50"));
    assert!(measures.notes[0].contains("2 of 4 pairs kept"));

    let likest = "by = \"likeness\"\nkeep = \"highest\"\n";
    let one = pairs.kept(&format!("{likest}share = 0.25")).unwrap();
    assert_eq!(one.0, [0]);
    let over = pairs.kept(&format!("{likest}threshold = 0.2")).unwrap();
    assert_eq!(over.0, [0, 2]);
    let all = pairs.kept("by = \"likeness\"\nshare = 1.0").unwrap();
    assert_eq!(all.0, [0, 1, 2, 3]);
    assert!(!all.1.numbers.contains_key("likeness.dropped"));
}

#[test]
fn chance_keeps_as_many_as_a_filter_did() {
    let pairs = Pairs::new();
    let rows = fs::read_to_string(pairs.at("pairs/train.jsonl")).unwrap();
    let three: String = rows.split_inclusive('\n').take(3).collect();
    fs::write(pairs.at("others/train.jsonl"), three).unwrap();
    let as_many = "by = \"random\"\nas_many_as = \"@others\"";
    let (kept, measures) = pairs.kept(as_many).unwrap();
    assert_eq!(kept.len(), 3);
    assert!(kept.is_sorted());
    assert_eq!(pairs.kept(as_many).unwrap().0, kept, "by seed");
    assert!(!measures.numbers.contains_key("random.p50"));
    fs::write(pairs.at("others/train.jsonl"), rows.repeat(2)).unwrap();
    let error = pairs.kept(as_many).unwrap_err();
    assert!(
        error.contains("as_many_as: @others has 8 pairs, but @pairs only 4"),
        "{error}"
    );
}

#[test]
fn nothing_left_says_what_would_leave_something() {
    let pairs = Pairs::new();
    let error = pairs
        .kept("by = \"likeness\"\nthreshold = -0.5")
        .unwrap_err();
    assert!(
        error.contains(
            "none of the 4 pairs of @pairs has a likeness of -0.5 or less; the nearest has 0.0000"
        ),
        "{error}"
    );
    let error = pairs.kept("by = \"likeness\"\nshare = 0.1").unwrap_err();
    assert!(
        error.contains("share") && error.contains("raise it"),
        "{error}"
    );
    let error = pairs
        .kept("by = \"nli\"\nclassifier = \"@model\"")
        .unwrap_err();
    assert!(error.contains("expected"), "{error}");
    for (settings, said) in [
        ("share = 0.5", "by"),
        ("by = \"random\"\nkeep = \"lowest\"", "keep"),
        (
            "by = \"likeness\"\nmodel = \"@model\"",
            "goes with by = \"margin\"",
        ),
        (
            "by = \"likeness\"\nshare = 0.5\nthreshold = 0.5",
            "goes without threshold alone",
        ),
    ] {
        let error = pairs.kept(settings).unwrap_err();
        assert!(error.contains(said), "{settings}: {error}");
    }
}
