//! Pairs that are filtered by what models say of them, held against what the same models say when they are asked otherwise.

use std::fs;
use std::path::Path;

use rapport::data::{Completion, Example, Role, template};
use rapport::engine::Device;
use rapport::model::decoder::Precision;
use rapport::stage::artifact::measures::Measures;
use rapport::stage::work::scores::scorer::Scorer;
use rapport::store::read_jsonl;

use crate::cli::{root, run};
use crate::reward::artifact;

fn examples(artifact: &Path) -> Vec<Example> {
    read_jsonl(&artifact.join("train.jsonl")).unwrap()
}

/// Each pair's log-prob of chosen less rejected, as the reference of DPO on all of them gave it.
fn reference(work: &Path, pairs: usize) -> Vec<f64> {
    let found = fs::read_dir(work.join("runs/.artifacts")).unwrap();
    let folders = found.map(|entry| entry.unwrap().path());
    let files = folders.map(|folder| folder.join("logps.f32"));
    let of_size =
        |path: &std::path::PathBuf| fs::read(path).ok().filter(|it| it.len() == 8 * pairs);
    let bytes = files.filter_map(|path| of_size(&path)).next().unwrap();
    let (logps, _) = bytes.as_chunks::<4>();
    let logps: Vec<f64> = logps
        .iter()
        .map(|&bytes| f64::from(f32::from_le_bytes(bytes)))
        .collect();
    logps.chunks(2).map(|pair| pair[0] - pair[1]).collect()
}

/// How far a reply keeps to a persona, sentence by sentence.
fn consistency(scorer: &Scorer, persona: &[String], reply: &str) -> f64 {
    let asked: Vec<Example> = persona
        .iter()
        .map(|sentence| Example {
            id: sentence.clone(),
            group: String::new(),
            prompt: template::premise(sentence),
            completions: vec![Completion::new(reply, Role::Reply)],
            meta: Default::default(),
        })
        .collect();
    let scores = scorer.scores(&asked, "test", &mut Measures::default(), |_| true);
    let scores = scores.unwrap().unwrap();
    let most = |class: &str| {
        let place = scorer.labels().iter().position(|it| it == class).unwrap();
        scores.iter().map(|it| it[place]).fold(0.0, f64::max)
    };
    most("entailment") - most("contradiction")
}

/// Which of the pairs are kept, found by their ids and held to be the same.
fn kept(all: &[Example], kept: &[Example]) -> Vec<bool> {
    let of = |pair: &Example| {
        let found = kept.iter().find(|it| it.id == pair.id);
        found.is_some_and(|it| {
            assert_eq!(it, pair);
            true
        })
    };
    let found: Vec<bool> = all.iter().map(of).collect();
    assert_eq!(found.iter().filter(|it| **it).count(), kept.len());
    found
}

/// Whether no value that is dropped lies clearly beyond one that is kept; the highest are kept.
fn split(values: &[f64], kept: &[bool]) {
    let of = |wanted: bool| {
        let both = values.iter().zip(kept);
        both.filter(move |(_, kept)| **kept == wanted)
            .map(|(value, _)| *value)
    };
    let (least, most) = (
        of(true).fold(f64::INFINITY, f64::min),
        of(false).fold(f64::NEG_INFINITY, f64::max),
    );
    assert!(least >= most - 1e-3, "{least} {most}: {values:?} {kept:?}");
    assert!(
        of(true).fold(f64::NEG_INFINITY, f64::max) > most + 1e-3,
        "{values:?}"
    );
}

#[test]
fn what_models_say_of_pairs_keeps_the_right_ones() {
    let work = tempfile::tempdir().unwrap();
    let recipe = root()
        .join("tests/recipes/filter.toml")
        .display()
        .to_string();
    let (code, _, stderr) = run(work.path(), &["run", &recipe, "--backend", "flex"]);
    assert_eq!(code, 0, "{stderr}");
    let of = |kind: &str, name: &str| artifact(work.path(), kind, name);
    let pairs = of("pseudo-preferences", "pairs");
    let all = examples(&pairs);
    assert!(all.iter().all(|pair| pair.completions[1].tokens.is_some()));
    let filtered = |name: &str| {
        let found = of("filter-pairs", name);
        let [own, source] = [&found, &pairs].map(|it| fs::read(it.join("drawn.json")).unwrap());
        assert_eq!(own, source);
        (
            kept(&all, &examples(&found)),
            Measures::read(&found).unwrap(),
        )
    };

    let (least, measures) = filtered("pairs-margin");
    assert_eq!(
        measures.numbers["train_pairs"],
        (all.len() as f64 / 2.0).round()
    );
    let margins = reference(work.path(), all.len());
    let negative: Vec<f64> = margins.iter().map(|it| -it).collect();
    split(&negative, &least);
    let mean = margins
        .iter()
        .zip(&least)
        .filter(|it| *it.1)
        .map(|it| *it.0);
    let mean = mean.sum::<f64>() / measures.numbers["train_pairs"];
    assert!(
        (measures.numbers["margin.kept"] - mean).abs() < 1e-3,
        "{mean}"
    );

    let (truest, _) = filtered("pairs-nli");
    let device = Device::new("flex", Precision::F32);
    let scorer = Scorer::open(&of("reward-model", "classifier"), device).unwrap();
    let apart = |pair: &Example| {
        let of =
            |at: usize| consistency(&scorer, pair.prompt.persona(), &pair.completions[at].text);
        of(0) - of(1)
    };
    split(&all.iter().map(apart).collect::<Vec<_>>(), &truest);

    let (_, likeness) = filtered("pairs-likeness");
    let (_, random) = filtered("pairs-random");
    let count = |measures: &Measures| measures.numbers["train_pairs"];
    assert_eq!(count(&random), count(&likeness));
    // What was trained on the filtered pairs read the drawn ids, and the same validation pairs.
    let trained = Measures::read(&of("dpo", "dpo-nli")).unwrap();
    let other = |note: &String| note.contains("another tokenizer");
    assert!(!trained.notes.iter().any(other), "{:?}", trained.notes);

    // A model of ratings tells no entailment.
    let mut told = vec!["run", &recipe];
    for set in [
        "classifier.objective=bradley-terry",
        "classifier.data=@pairs",
        "classifier.max_length=512",
        "outputs=[\"pairs-nli\"]",
    ] {
        told.extend(["--set", set]);
    }
    let (code, _, stderr) = run(work.path(), &told);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("classifier: @classifier gives ratings"),
        "{stderr}"
    );
}
