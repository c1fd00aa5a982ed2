//! Reward models that are killed on their way, and their scores.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use assert_cmd::cargo::CommandCargoExt;
use rapport::data::{Rated, Tokenizer};
use rapport::stage::artifact::measures::Measures;
use rapport::store::read_jsonl;
use serde_json::Value;

use super::stages::{RECIPE, artifact, artifacts, with};
use super::{json, near};
use crate::cli::{root, run};

/// Kills the recipe once `reached` says so of the stage's unfinished folder.
fn killed_when(work: &Path, outputs: &str, reached: impl Fn(&Path) -> bool) {
    let mut command = Command::cargo_bin("rapport").unwrap();
    command
        .current_dir(work)
        .arg("run")
        .arg(root().join(RECIPE));
    command.arg("--set").arg(format!("outputs={outputs}"));
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let unfinished = || {
        let all = std::fs::read_dir(work.join("runs/.artifacts")).ok()?;
        let mut names = all.map(|entry| entry.unwrap().path());
        names.find(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("reward-model-") && name.ends_with(".partial")
        })
    };
    while !unfinished().is_some_and(|dir| reached(&dir)) {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "never got there"
        );
        assert!(
            child.try_wait().unwrap().is_none(),
            "ended before it was killed"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(unfinished().is_some(), "killed on the way");
}

/// What a reward model left, but for its times: its measures, steps and weights.
fn left(artifact: &Path, models: &[PathBuf]) -> (Measures, Vec<Vec<u8>>, Vec<String>) {
    let mut measures = Measures::read(artifact).unwrap();
    measures.varying.clear();
    let weights = models
        .iter()
        .map(|dir| std::fs::read(dir.join("model/model.safetensors")).unwrap());
    let steps = models.iter().flat_map(|dir| {
        let lines: Vec<Value> = read_jsonl(&dir.join("metrics.jsonl")).unwrap();
        lines
            .into_iter()
            .map(|line| format!("{} {} {}", line["step"], line["loss"], line["eval_loss"]))
    });
    (measures, weights.collect(), steps.collect())
}

#[track_caller]
fn same(
    one: &(Measures, Vec<Vec<u8>>, Vec<String>),
    other: &(Measures, Vec<Vec<u8>>, Vec<String>),
) {
    assert_eq!(one.0.numbers, other.0.numbers);
    assert_eq!(one.0.notes, other.0.notes);
    assert_eq!(one.2, other.2);
    assert!(one.1 == other.1, "the same weights");
}

#[test]
fn a_killed_reward_model_ends_like_one_that_never_was() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(with(whole.path(), "[\"all\"]", &[]).0, 0);
    killed_when(parts.path(), "[\"all\"]", |dir| {
        let steps = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap_or_default();
        dir.join("checkpoint/state.json").exists() && steps.lines().count() >= 8
    });
    assert_eq!(with(parts.path(), "[\"all\"]", &[]).0, 0);
    let of = |work: &Path| {
        let dir = artifact(work, "reward-model", "all");
        left(&dir, std::slice::from_ref(&dir))
    };
    let parts_dir = parts.path();
    let (whole, parts) = (of(whole.path()), of(parts.path()));
    assert_eq!(whole.2.len(), 36, "48 dialogues, batches of 4, 3 epochs");
    // What the folder's tokenizer pads with is what transformers passes over.
    let folder = artifact(parts_dir, "reward-model", "all").join("model");
    let tokenizer = Tokenizer::open(&folder).unwrap();
    let padding = tokenizer.pad().unwrap();
    assert_ne!(padding, tokenizer.eos());
    assert_eq!(json(&folder.join("config.json"))["pad_token_id"], padding);
    same(&parts, &whole);
}

#[test]
fn one_model_each_goes_on_after_those_that_are_done_and_names_the_same_scores() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (code, stderr) = with(whole.path(), "[\"all\", \"each\"]", &[]);
    assert_eq!(code, 0, "{stderr}");
    killed_when(parts.path(), "[\"each\"]", |dir| {
        // The record that it is finished comes last.
        dir.join("each/attentiveness/.done.json").exists()
    });
    let partial = std::fs::read_dir(parts.path().join("runs/.artifacts")).unwrap();
    let partial = partial.map(|entry| entry.unwrap().path());
    let partial = partial
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".partial"))
        .unwrap();
    let written = |dir: &Path| -> BTreeMap<String, SystemTime> {
        ["agency", "attentiveness"]
            .map(|name| {
                let file = dir.join("each").join(name).join("model/model.safetensors");
                (
                    name.to_owned(),
                    std::fs::metadata(file).unwrap().modified().unwrap(),
                )
            })
            .into()
    };
    let before = written(&partial);
    assert_eq!(with(parts.path(), "[\"each\"]", &[]).0, 0);
    let each = artifact(parts.path(), "reward-model", "each");
    assert_eq!(
        written(&each),
        before,
        "what was finished is not trained again"
    );
    let models = |dir: &Path| -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = std::fs::read_dir(dir.join("each"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        dirs.sort();
        assert_eq!(dirs.len(), 12);
        dirs
    };
    let of_whole = artifact(whole.path(), "reward-model", "each");
    same(
        &left(&each, &models(&each)),
        &left(&of_whole, &models(&of_whole)),
    );

    // Both forms score the same things, and both learn something.
    let all = artifact(whole.path(), "reward-model", "all");
    let rated = artifacts(whole.path(), "impression-world")[0].join("rated-test.jsonl");
    let labels = |model: &Path| {
        let (code, stdout, stderr) = run(
            whole.path(),
            &["score", model.to_str().unwrap(), rated.to_str().unwrap()],
        );
        assert_eq!(code, 0, "{stderr}");
        let lines: Vec<Value> = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 24);
        let rows: Vec<Rated> = read_jsonl(&rated).unwrap();
        assert!(
            rows.iter()
                .zip(&lines)
                .all(|(row, line)| line["id"] == row.id.as_str())
        );
        let labels: Vec<BTreeSet<String>> = lines
            .iter()
            .map(|line| {
                line["scores"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .cloned()
                    .collect()
            })
            .collect();
        assert!(labels.windows(2).all(|two| two[0] == two[1]));
        labels[0].clone()
    };
    assert_eq!(labels(&all), labels(&each));
    assert_eq!(labels(&all).len(), 12);
    // `rapport score` says what the stage measured on the same dialogues.
    let predicted: Vec<Value> = read_jsonl(&all.join("predicted.jsonl")).unwrap();
    let (_, stdout, _) = run(
        whole.path(),
        &["score", all.to_str().unwrap(), rated.to_str().unwrap()],
    );
    for (line, predicted) in stdout.lines().zip(&predicted) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["id"], predicted["id"]);
        for (name, score) in line["scores"].as_object().unwrap() {
            near(
                &[score.as_f64().unwrap()],
                &[predicted["predicted"][name].as_f64().unwrap()],
                1e-5,
            );
        }
    }
}
