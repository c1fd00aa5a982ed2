//! Every kind of stage at its edges: nothing to read, models that say nothing, and models that never stop.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::data::{Example, Role, Scale, Tokenizer};
use crate::model::config::DecoderConfig;
use crate::model::weights;
use crate::stage::KINDS;
use crate::stage::artifact::examples::{RowsSettings, read_examples, write_settings};
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::rated_set;
use crate::stage::artifact::replied::Replied;
use crate::stage::bench::{Bench, POSITIONS, config, manifest};
use crate::stage::settings::splits::Split;
use crate::store::write_atomic;

fn tokenizer() -> Tokenizer {
    let texts = vec!["User: hello there, how are you?\nBot: i am fine.\n".to_owned(); 4];
    Tokenizer::train_bpe(texts, 300).unwrap()
}

/// What each kind that reads other stages' artifacts is told.
const READERS: &[(&str, &str)] = &[
    ("agreement", "reward = \"@reward\"\ndata = \"@rated\""),
    (
        "ai-feedback",
        "model = \"@model\"\ndata = \"@rows\"\nreward = \"@reward\"\nmin_correlation = 0.0",
    ),
    (
        "aif",
        "model = \"@model\"\ndata = \"@rows\"\nreward = \"@reward\"\nmin_correlation = 0.0",
    ),
    ("dpo", "model = \"@model\"\ndata = \"@pairs\""),
    ("failures", "model = \"@model\"\ndata = \"@pairs\""),
    ("filter-pairs", "data = \"@pairs\"\nby = \"random\""),
    ("filter-pairs", "data = \"@pairs\"\nby = \"likeness\""),
    (
        "filter-pairs",
        "data = \"@pairs\"\nby = \"margin\"\nmodel = \"@model\"",
    ),
    (
        "filter-pairs",
        "data = \"@pairs\"\nby = \"nli\"\nclassifier = \"@reward\"",
    ),
    ("judge", "model = \"@model\"\ndata = \"@pairs\""),
    ("kto", "model = \"@model\"\ndata = \"@labels\""),
    ("nli", "data = \"@data\""),
    ("pseudo-preferences", "model = \"@model\"\ndata = \"@data\""),
    ("perplexity", "model = \"@model\"\ndata = \"@rows\""),
    ("perplexity", "model = \"@model\"\ndata = \"@data\""),
    (
        "ppo",
        "model = \"@model\"\ndata = \"@rows\"\nreward = \"@reward\"\nmin_correlation = 0.0",
    ),
    ("prompted-ratings", "model = \"@model\"\ndata = \"@rated\""),
    ("rank", "model = \"@model\"\ndata = \"@data\""),
    ("replies", "model = \"@model\"\ndata = \"@data\""),
    ("reward-model", "model = \"@model\"\ndata = \"@rated\""),
    (
        "reward-model",
        "model = \"@model\"\ndata = \"@rated\"\none_model_each = true",
    ),
    (
        "reward-model",
        "model = \"@model\"\ndata = \"@pairs\"\nobjective = \"bradley-terry\"",
    ),
    (
        "reward-model",
        "model = \"@model\"\ndata = \"@classes\"\nobjective = \"classification\"",
    ),
    ("sft", "model = \"@model\"\ndata = \"@rows\""),
    ("sft", "model = \"@model\"\ndata = \"@data\""),
    ("tokenizer", "data = \"@rows\""),
    ("tokenizer", "data = \"@data\""),
    (
        "tournament",
        "models = [\"@model\", \"@other\"]\ndata = \"@pairs\"",
    ),
];

/// Kinds that read files or make their data themselves.
const MAKERS: &[&str] = &[
    "completions",
    "guardrail-world",
    "impression-world",
    "labels",
    "persona-files",
    "persona-world",
    "preferences",
    "pretrained",
    "pretrained-reward-model",
    "ratings",
    "scratch",
    "star",
];

#[test]
fn nothing_to_read_is_an_error_of_every_kind() {
    let kinds: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let readers = READERS.iter().map(|(kind, _)| *kind);
    let known: BTreeSet<&str> = readers.chain(MAKERS.iter().copied()).collect();
    assert_eq!(kinds, known, "a new kind is tried here too");

    let bench = Bench::new();
    let tokenizer = tokenizer();
    for model in ["model", "other"] {
        bench.model(model, &tokenizer, tokenizer.eos());
    }
    bench.reward(&tokenizer);
    for data in ["data", "pairs", "rows", "rated", "labels", "classes"] {
        let dir = bench.at(data);
        std::fs::create_dir_all(&dir).unwrap();
        for split in ["train", "valid", "test", "prompts", "feedback", "ranking"] {
            for name in [format!("{split}.jsonl"), format!("rated-{split}.jsonl")] {
                write_atomic(&dir.join(name), b"").unwrap();
            }
        }
        let scale = Scale {
            low: 0.0,
            high: 10.0,
        };
        rated_set::write_scale(&dir, scale, false).unwrap();
        if data != "data" {
            let settings = RowsSettings {
                shuffle: true,
                by_dialogue: false,
                by_row: false,
            };
            write_settings(&dir, settings).unwrap();
        }
        manifest(&dir, "impression-world");
    }
    for (place, (kind, settings)) in READERS.iter().enumerate() {
        let name = format!("out-{place}");
        let error = match bench.run(&name, kind, settings) {
            Ok(measures) => panic!("{kind} took nothing for something: {measures:?}"),
            Err(error) => format!("{error:#}"),
        };
        assert!(!error.contains("NaN"), "{kind}: {error}");
    }
}

fn finite(kind: &str, measures: &Measures) {
    for (name, number) in &measures.numbers {
        assert!(number.is_finite(), "{kind}: {name} is {number}");
    }
}

fn worlds(bench: &Bench) {
    let counts = "pretrain = 4\ntrain = 6\nvalid = 2\ntest = 4\n";
    let impression = format!("{counts}prompts = 4");
    bench.run("rows", "impression-world", &impression).unwrap();
    let persona = format!("{counts}ranking_items = 4");
    bench.run("data", "persona-world", &persona).unwrap();
    let guardrail = format!("{counts}feedback = 4\ndrills = 0");
    bench.run("pairs", "guardrail-world", &guardrail).unwrap();
}

const SAMPLING: &str = "max_new_tokens = 3\nmodel = \"@model\"\n";

/// Runs every kind that samples, with what each is told beside the model and the sampling.
fn sampled(bench: &Bench) -> Vec<(&'static str, Result<Measures>)> {
    let reward = "data = \"@rows\"\nreward = \"@reward\"\nmin_correlation = 0.0";
    let ppo = format!("{reward}\ntotal_episodes = 4\nper_device_train_batch_size = 2\n");
    let both = "data = \"@pairs\"\nreference = \"@other\"";
    let kinds = [
        ("ai-feedback", reward.to_owned()),
        ("aif", format!("{reward}\nreference = \"@other\"")),
        ("failures", "data = \"@pairs\"".into()),
        ("judge", both.into()),
        (
            "pseudo-preferences",
            "data = \"@data\"\nvalid_examples = 2".into(),
        ),
        ("ppo", ppo),
        ("replies", "data = \"@data\"\nexamples = 4".into()),
    ];
    let mut found: Vec<_> = kinds
        .into_iter()
        .map(|(kind, told)| {
            (
                kind,
                bench.run(&format!("out-{kind}"), kind, &format!("{SAMPLING}{told}")),
            )
        })
        .collect();
    let told = "models = [\"@model\", \"@other\"]\nmax_new_tokens = 3\ndata = \"@pairs\"";
    found.push((
        "tournament",
        bench.run("out-tournament", "tournament", told),
    ));
    found
}

/// The worlds, a reward model, and two models that always say `token`.
fn talking(tokenizer: &Tokenizer, token: u32) -> Bench {
    let bench = Bench::new();
    worlds(&bench);
    for model in ["model", "other"] {
        bench.model(model, tokenizer, token);
    }
    bench.reward(tokenizer);
    bench
}

#[test]
fn a_model_that_says_nothing_is_measured_and_teaches_nothing() {
    let tokenizer = tokenizer();
    let bench = talking(&tokenizer, tokenizer.eos());
    for (kind, found) in sampled(&bench) {
        match (kind, found) {
            ("ai-feedback" | "failures" | "pseudo-preferences", found) => {
                let error = format!("{:#}", found.unwrap_err());
                assert!(error.contains("empty"), "{kind}: {error}");
            }
            (kind, found) => finite(kind, &found.unwrap()),
        }
    }
    for reply in Replied::read(&bench.at("out-replies")).unwrap() {
        assert_eq!(
            (&*reply.reply, &reply.tokens[..]),
            ("", &[tokenizer.eos()][..])
        );
    }
}

#[test]
fn a_reply_that_never_ends_is_its_tokens_and_no_eos() {
    let tokenizer = tokenizer();
    let word = *tokenizer.encode("fine").unwrap().ids.last().unwrap();
    let bench = talking(&tokenizer, word);
    for (kind, found) in sampled(&bench) {
        match (kind, found) {
            ("ai-feedback", found) => {
                let error = format!("{:#}", found.unwrap_err());
                assert!(error.contains("no prompt has two replies"), "{error}");
            }
            // Whether what it says breaks a guardrail is the world's business.
            ("failures", _) => {}
            (kind, found) => finite(kind, &found.unwrap()),
        }
    }
    for split in [Split::Train, Split::Valid] {
        let dir = bench.at("out-pseudo-preferences");
        let pairs: Vec<Example> = read_examples(&dir, split)
            .unwrap()
            .collect::<Result<_>>()
            .unwrap();
        assert!(!pairs.is_empty());
        for pair in pairs {
            let [chosen, rejected] = &pair.completions[..] else {
                panic!("{pair:?}");
            };
            assert_eq!((&chosen.role, &chosen.tokens), (&Role::Chosen, &None));
            assert_eq!(rejected.tokens, Some(vec![word; 3]));
            let text = tokenizer.decode_after(&[], &[word; 3]).unwrap();
            assert_eq!(rejected.text, text);
        }
        assert!(dir.join("drawn.json").exists());
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_computed() {
    let tokenizer = tokenizer();
    let bench = talking(&tokenizer, tokenizer.eos());
    let short = DecoderConfig {
        max_positions: 40,
        ..config(&tokenizer)
    };
    let arrays = weights::random(&short, 0.1, 3);
    bench.write("short", &short, &tokenizer, arrays);
    let error = |kind: &str, told: &str| -> String {
        let found = bench.run("refused", kind, told);
        let error = found.err().unwrap_or_else(|| panic!("{kind}: {told}"));
        assert!(error.is::<crate::store::BadInput>(), "{error:#}");
        format!("{error:#}")
    };
    let judge = "model = \"@model\"\ndata = \"@pairs\"\n";
    for (kind, told) in [
        ("judge", judge.to_owned()),
        (
            "ppo",
            "model = \"@model\"\ndata = \"@rows\"\nreward = \"@reward\"\nmin_correlation = 0.0\n"
                .into(),
        ),
    ] {
        // All of the positions, nearly all, and then nearly all but allowed.
        let said = error(kind, &format!("{told}max_new_tokens = {POSITIONS}"));
        assert!(said.contains("max_new_tokens is 4000"), "{said}");
        assert!(said.contains("@model reads at most 4000"), "{said}");
        let said = error(kind, &format!("{told}max_new_tokens = 3990"));
        assert!(said.contains("min_prompt_kept"), "{said}");
    }
    let told = format!("{judge}max_new_tokens = 3990\nmin_prompt_kept = 0.0");
    let measures = bench.run("cut", "judge", &told).unwrap();
    let cut = |note: &String| note.contains("leaves 10 of the 4000 tokens");
    assert!(measures.notes.iter().any(cut), "{:?}", measures.notes);
    // A reference that reads less than the model.
    std::fs::rename(bench.at("other"), bench.at("long")).unwrap();
    std::fs::rename(bench.at("short"), bench.at("other")).unwrap();
    let said = error("judge", &format!("{judge}reference = \"@other\""));
    assert!(said.contains("@other reads at most 40"), "{said}");
}

#[test]
fn without_a_validation_split_the_last_weights_are_kept_and_that_is_said() {
    let bench = Bench::new();
    let tokenizer = tokenizer();
    worlds(&bench);
    bench.model("model", &tokenizer, tokenizer.eos());
    let told = "model = \"@model\"\ndata = \"@rows\"\nsplit = \"pretrain\"\nmax_steps = 1\nmax_length = 3000\n";
    let valid = bench.at("rows/valid.jsonl");
    std::fs::copy(bench.at("rows/pretrain.jsonl"), &valid).unwrap();
    let said = |measures: &Measures| {
        let named = |note: &&String| note.contains("metric_for_best_model");
        measures.notes.iter().filter(named).count()
    };
    let measures = bench.run("validated", "sft", told).unwrap();
    assert_eq!(said(&measures), 0, "{:?}", measures.notes);
    write_atomic(&valid, b"").unwrap();
    let measures = bench.run("alone", "sft", told).unwrap();
    assert_eq!(said(&measures), 1, "{:?}", measures.notes);
    let told = format!("{told}metric_for_best_model = \"none\"");
    let measures = bench.run("last", "sft", &told).unwrap();
    assert_eq!(said(&measures), 0, "{:?}", measures.notes);
}
