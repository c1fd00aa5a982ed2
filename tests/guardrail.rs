//! The stages of the guardrail experiments, as their user calls them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rapport::data::{Example, Role};
use rapport::world::guardrail::judge_reply;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::cli::{root, run};

fn recipe() -> String {
    let path = root().join("tests/recipes/guardrail.toml");
    path.display().to_string()
}

/// Runs the recipe with these settings laid over it.
fn with(work: &Path, sets: &[&str], more: &[&str]) -> (i32, String, String) {
    let recipe = recipe();
    let mut arguments = vec!["run", recipe.as_str()];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    arguments.extend(more);
    run(work, &arguments)
}

fn summary(work: &Path) -> Value {
    let text = std::fs::read_to_string(work.join("runs/guardrail/sandbox/summary.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the last run measured, by stage and name: "judge.adherence".
fn measured(work: &Path) -> Map<String, Value> {
    summary(work)["metrics"].as_object().unwrap().clone()
}

/// A column that stands for several has become one for each number that begins so, in order of name.
fn columns_are_those_measured(table: &Value, metrics: &Map<String, Value>) {
    let prefix = "judge.adherence.rule.";
    let expected: Vec<(String, &Value)> = metrics
        .iter()
        .filter_map(|(name, metric)| Some((name.strip_prefix(prefix)?, &metric["mean"])))
        .map(|(rest, mean)| (format!("kept: {}", rest.replace('_', " ")), mean))
        .collect();
    assert!(expected.len() > 2, "{expected:?}");
    let columns = table["columns"].as_array().unwrap().iter();
    let cells = table["rows"][0]["cells"].as_array().unwrap().iter();
    let found: Vec<(String, &Value)> = columns
        .zip(cells)
        .skip(1)
        .map(|(column, cell)| (column["name"].as_str().unwrap().to_owned(), &cell["value"]))
        .collect();
    assert_eq!(found, expected);
}

/// The metrics of a stage's first step.
fn first_line(work: &Path, stage: &str) -> Value {
    let path = work.join("runs/guardrail/sandbox/metrics.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["stage"] == stage).unwrap()
}

/// The lines of a file of the only artifact of a kind.
fn lines<T: DeserializeOwned>(work: &Path, kind: &str, file: &str) -> Vec<T> {
    let artifacts = std::fs::read_dir(work.join("runs/.artifacts")).unwrap();
    let mut files = artifacts
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(kind)
        })
        .map(|path| path.join(file));
    let (file, none) = (files.next().unwrap(), files.next());
    assert_eq!(none, None);
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.collect()
}

fn examples(work: &Path, kind: &str, split: &str) -> Vec<Example> {
    lines(work, kind, &format!("{split}.jsonl"))
}

/// Three games a prompt, won by whom the verdicts on both replies say, and summed up in the measures.
fn the_tournament_adds_up(work: &Path, metrics: &Map<String, Value>) {
    let games: Vec<Value> = lines(work, "tournament", "games.jsonl");
    let test = examples(work, "guardrail-world", "test");
    assert_eq!(games.len(), 3 * test.len());
    let mut scores: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut met = BTreeSet::new();
    for game in &games {
        let text = |key: &str| game[key].as_str().unwrap().to_owned();
        let asked = test.iter().find(|it| it.id == text("id")).unwrap();
        let judge = |reply: String| judge_reply(&asked.meta, &asked.prompt, &reply).unwrap();
        let [first, second] = ["first_reply", "second_reply"].map(|key| judge(text(key)));
        let score = match text("verdict").as_str() {
            "first" => 1.0,
            "second" => 0.0,
            "tie" => 0.5,
            other => panic!("{other}"),
        };
        let broken = [&first, &second].map(|it| it.adherent == Some(false));
        match broken {
            [false, true] => assert_eq!(score, 1.0, "{game}"),
            [true, false] => assert_eq!(score, 0.0, "{game}"),
            _ if first == second => assert_eq!(score, 0.5, "{game}"),
            _ => {}
        }
        let mut players = [text("first"), text("second")];
        scores.entry(players[0].clone()).or_default().push(score);
        scores
            .entry(players[1].clone())
            .or_default()
            .push(1.0 - score);
        players.sort();
        assert!(
            met.insert((text("id"), players.clone())),
            "{players:?} met twice"
        );
    }
    assert_eq!(scores.len(), 4);
    let number = |name: String| {
        metrics[&format!("tournament.{name}")]["mean"]
            .as_f64()
            .unwrap()
    };
    let mut strengths = 0.0;
    for (model, scores) in scores {
        let rate = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!(
            (number(format!("win_rate.{model}")) - rate).abs() < 1e-9,
            "{model}"
        );
        let controlled = number(format!("length_controlled_win_rate.{model}"));
        assert!((0.0..=1.0).contains(&controlled), "{model} {controlled}");
        let unit = &metrics[&format!("tournament.length_controlled_win_rate.{model}")]["unit"];
        assert_eq!(unit, "share");
        strengths += number(format!("strength.{model}"));
    }
    assert!(strengths.abs() < 1e-9);
}

fn failures_are_pairs_of_the_data_and_the_model(work: &Path, count: usize) {
    let feedback = examples(work, "guardrail-world", "feedback");
    let failures = examples(work, "failures", "train");
    assert_eq!(failures.len(), count);
    for pair in &failures {
        let asked = feedback.iter().find(|it| it.id == pair.id).unwrap();
        assert_eq!(pair.prompt, asked.prompt);
        let [chosen, rejected] = &pair.completions[..] else {
            panic!("{pair:?}");
        };
        assert_eq!(chosen, &asked.completions[0]);
        assert_eq!(rejected.role, Role::Rejected);
        let verdict = judge_reply(&pair.meta, &pair.prompt, &rejected.text).unwrap();
        let failed = verdict.adherent == Some(false) || verdict.hallucinated == Some(true);
        assert!(failed, "{}", rejected.text);
    }
}

/// The count before `what` in a dry run's preview, and the sequences of its first example.
fn preview(work: &Path, sets: &[&str], what: &str) -> (usize, usize, String) {
    let (code, stdout, stderr) = with(work, sets, &["--dry-run"]);
    assert_eq!(code, 0, "{stderr}");
    let words: Vec<&str> = stdout.split_whitespace().collect();
    let at = words.iter().position(|word| *word == what).unwrap();
    let sequences = stdout.lines().filter(|line| line.starts_with("    \""));
    (
        words[at - 1].parse().unwrap(),
        sequences.count(),
        stdout.clone(),
    )
}

#[test]
fn a_world_is_learned_judged_and_learned_again_from_its_failures() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    // Of a pair, SFT takes the chosen reply alone.
    let (pairs, sequences, _) = preview(work, &[], "examples");
    assert_eq!(sequences, 1);

    let (code, _, stderr) = with(work, &[], &[]);
    assert_eq!(code, 0, "{stderr}");
    let first = measured(work);
    for name in [
        "adherence",
        "hallucination",
        "naturalness",
        "over_conservative",
        "repetitive",
        "finished",
    ] {
        let mean = first[&format!("judge.{name}")]["mean"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&mean), "{name} {mean}");
    }
    for part in ["rule", "domain"] {
        let prefix = format!("judge.adherence.{part}.");
        assert!(first.keys().any(|name| name.starts_with(&prefix)), "{part}");
    }
    columns_are_those_measured(&summary(work)["tables"][0], &first);
    the_tournament_adds_up(work, &first);
    let number = |name: &str| first[name]["mean"].as_f64().unwrap();
    assert_ne!(number("judge.kl"), 0.0);
    for name in ["kto.desirable_weight", "kto.undesirable_weight"] {
        assert_eq!(number(name), 1.0, "as many of either label");
    }
    assert!(number("failures.pairs") > 0.0 && number("again.steps") == 2.0);
    failures_are_pairs_of_the_data_and_the_model(work, number("failures.pairs") as usize);
    // A model is at distance 0 from itself, which is the reference where no other is named.
    let reward = |stage| first_line(work, stage)["rewards/chosen"].as_f64().unwrap();
    assert!(reward("dpo").abs() > 1e-3, "held to @scratch");
    assert!(reward("kto").abs() < 1e-4 && reward("again").abs() < 1e-4);

    let (code, _, stderr) = with(work, &[], &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains("done in"), "nothing ran again: {stderr}");
    assert_eq!(measured(work), first);

    // Of a pair, KTO takes each reply with its label, and a mismatched one beside it.
    let (examples, sequences, text) = preview(work, &["kto.beta=0.2"], "examples");
    assert_eq!((examples, sequences), (2 * pairs, 2), "{text}");
    let counts = format!("{pairs} desirable and {pairs} undesirable completions");
    let weights = "desirable_weight 1.0000, undesirable_weight 1.0000";
    assert!(text.contains(&format!("{counts}: {weights}")), "{text}");
    let (_, _, text) = preview(work, &["kto.undesirable_weight=3"], "examples");
    let weights = "desirable_weight 3.0000, undesirable_weight 3.0000";
    assert!(text.contains(weights), "{text}");

    let sets = ["judge.data=@failures", "judge.split=train"];
    let (code, _, stderr) = with(work, &sets, &[]);
    let expected = "of kind failures, has no oracle; judge with an endpoint";
    assert!(code != 0 && stderr.contains(expected), "{code}: {stderr}");

    let text = std::fs::read_to_string(recipe()).unwrap();
    let text = text
        + "\n[stage.other]\nlike = \"scratch\"\ntokenizer = \"@other-tokenizer\"\n\
           [stage.other-tokenizer]\nlike = \"tokenizer\"\nvocab_size = 300\n";
    let path = work.join("other.toml");
    let judge = text.replace("reference = \"@sft\"", "reference = \"@other\"");
    let dpo = text.replace("reference = \"@scratch\"", "reference = \"@other\"");
    for (text, model) in [(dpo, "sft"), (judge, "kto")] {
        std::fs::write(&path, text).unwrap();
        let (code, _, stderr) = run(work, &["run", path.to_str().unwrap()]);
        let expected = format!("reference @other has another tokenizer than @{model}");
        assert!(code != 0 && stderr.contains(&expected), "{code}: {stderr}");
    }
}

#[test]
fn parameters_that_a_loss_does_not_take_are_named_by_line() {
    let work = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(recipe()).unwrap();
    let ipo = "loss_type = \"ipo\"";
    let kto = "kind = \"kto\"";
    for (from, to, at, expected) in [
        (
            ipo,
            "loss_type = \"simpo\"",
            "reference =",
            "reads no reference",
        ),
        (
            ipo,
            "loss_type = \"ipo\"\nsimpo_gamma = 1",
            "simpo_gamma",
            "simpo_gamma",
        ),
        (
            ipo,
            "loss_type = \"ipo\"\nlabel_smoothing = 0.1",
            "label_smoothing",
            "label_smoothing",
        ),
        (
            ipo,
            "loss_type = \"nca_pair\"\nf_divergence_type = \"forward_kl\"",
            "f_divergence_type",
            "nca_pair is not made of",
        ),
        (
            kto,
            "kind = \"kto\"\nloss_type = \"bco\"\ndesirable_weight = 2.0",
            "desirable_weight",
            "desirable_weight",
        ),
        (
            kto,
            "kind = \"kto\"\nloss_type = \"ipo\"",
            "loss_type = \"ipo\"",
            "found \"ipo\"",
        ),
    ] {
        let changed = text.replacen(from, to, 1);
        // Of the stage that was changed.
        let start = text.find(from).unwrap();
        let line = changed[start..]
            .find(at)
            .map(|found| start + found)
            .unwrap();
        let line = changed[..line].lines().count() + 1;
        let path = work.path().join("changed.toml");
        std::fs::write(&path, &changed).unwrap();
        let (code, _, stderr) = run(work.path(), &["run", path.to_str().unwrap()]);
        assert_eq!(code, 2, "{stderr}");
        let place = format!("changed.toml:{line}:");
        let named = |l: &str| l.contains(&place) && l.contains(expected);
        assert!(stderr.lines().any(named), "{place} {expected}: {stderr}");
    }
    assert!(!work.path().join("runs/changed").exists());
}
