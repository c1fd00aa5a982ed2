//! Stages side by side: the same artifacts, and what a failing one leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::{root, run};

/// Wide enough for matrix products and kernels to use several threads.
const WIDE: [&str; 8] = [
    "--set",
    "scratch.hidden_size=96",
    "--set",
    "scratch.intermediate_size=192",
    "--set",
    "sft.max_steps=6",
    "--set",
    "dpo.num_train_epochs=1",
];

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn without(mut value: Value, keys: &[&str]) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !keys.contains(&key.as_str()));
    }
    value
}

/// Every file of every artifact by its path, times and what the process held left out.
fn artifacts(work: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = work.join("runs/.artifacts");
    let mut found = Vec::new();
    files(&root, &mut found);
    let content = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        let stable = match path.file_name().unwrap().to_str().unwrap() {
            "metrics.jsonl" => String::from_utf8(bytes)
                .unwrap()
                .lines()
                .map(|line| {
                    let line = serde_json::from_str(line).unwrap();
                    let times = ["seconds", "tokens_per_s", "pairs_per_s"];
                    format!("{}\n", without(line, &times))
                })
                .collect::<String>()
                .into_bytes(),
            "artifact.json" | "measures.json" => {
                let value = serde_json::from_slice(&bytes).unwrap();
                // Of two stages that share a side product, either may make it. Seals are those of what varies too.
                let varying = ["seconds", "created", "varying", "name", "files", "seal"];
                without(value, &varying).to_string().into_bytes()
            }
            _ => bytes,
        };
        (path.strip_prefix(&root).unwrap().to_owned(), stable)
    };
    found.into_iter().map(content).collect()
}

#[test]
fn artifacts_are_the_same_however_many_stages_run_at_a_time() {
    let tiny = root().join("tests/recipes/tiny.toml").display().to_string();
    let runs = ["1", "2", "5"].map(|jobs| {
        let work = tempfile::tempdir().unwrap();
        let arguments = [&["run", &tiny, "--jobs", jobs], &WIDE[..]].concat();
        let (code, _, stderr) = run(work.path(), &arguments);
        assert_eq!(code, 0, "{stderr}");
        (artifacts(work.path()), peaks(work.path()))
    });
    let [(alone, measured), beside @ ..] = runs;
    assert!(alone.len() > 60, "{:?}", alone.keys());
    for (beside, peaks) in beside {
        let names = |of: &BTreeMap<PathBuf, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&beside), names(&alone));
        for (path, bytes) in &beside {
            assert!(bytes == &alone[path], "{}", path.display());
        }
        assert!(peaks.is_empty(), "the process's memory is no stage's");
    }
    if cfg!(target_os = "linux") {
        assert_eq!(measured.len(), 4, "SFT and DPO of two seeds");
    }
}

/// The peaks of memory that training stages measured.
fn peaks(work: &Path) -> Vec<f64> {
    let mut found = Vec::new();
    files(&work.join("runs/.artifacts"), &mut found);
    let measures = found.iter().filter(|path| path.ends_with("measures.json"));
    let peak = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let measures: Value = serde_json::from_str(&text).unwrap();
        measures["varying"]["peak_memory_gb"].as_f64()
    };
    measures.filter_map(peak).collect()
}

#[test]
fn a_failing_stage_is_named_and_what_is_finished_stays() {
    let work = tempfile::tempdir().unwrap();
    let recipe = work.path().join("failing.toml");
    let tiny = std::fs::read_to_string(root().join("tests/recipes/tiny.toml")).unwrap();
    let outputs = r#"outputs = ["sft", "narrow"]"#;
    let tiny = tiny
        .lines()
        .map(|line| match line.starts_with("outputs") {
            true => outputs,
            false => line,
        })
        .take_while(|line| !line.starts_with("[stage.pairs]"));
    let narrow = r#"
[stage.short]
like = "scratch"
max_position_embeddings = 8

[stage.narrow]
like = "sft"
model = "@short"
"#;
    let text = format!("{}\n{narrow}", tiny.collect::<Vec<_>>().join("\n"));
    std::fs::write(&recipe, text).unwrap();
    let path = recipe.to_str().unwrap();
    let (code, _, stderr) = run(work.path(), &["run", path, "--jobs", "2"]);
    assert_eq!(code, 2, "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: stage narrow seed") && last.contains("max_length"),
        "{stderr}"
    );
    let summary = work.path().join("runs/failing/sandbox/summary.json");
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.contains("The run failed"), "{summary}");

    // What is finished is not made again, and what was stopped goes on. As wide as the other, it is the same
    // artifact, which is made once; wider, it is one of its own.
    let mut made = done(&stderr);
    assert!(!made.iter().any(|stage| stage.starts_with("narrow")));
    for positions in ["512", "600"] {
        let set = format!("short.max_position_embeddings={positions}");
        let arguments = ["run", path, "--jobs", "4", "--set", &set];
        let (code, _, stderr) = run(work.path(), &arguments);
        assert_eq!(code, 0, "{stderr}");
        assert!(!stderr.contains("waiting"), "{stderr}");
        made.extend(done(&stderr));
    }
    made.sort_unstable();
    let expected = [
        "narrow seed 1",
        "narrow seed 2",
        "scratch",
        "sft seed 1",
        "sft seed 2",
        "short",
        "short",
        "tokenizer",
        "world",
    ];
    assert_eq!(made, expected);
}

/// The stages that a run says it has done.
fn done(stderr: &str) -> Vec<String> {
    let lines = stderr
        .lines()
        .filter_map(|line| line.split_once(" done in"));
    lines
        .map(|(stage, _)| stage.trim_end().to_owned())
        .collect()
}

#[test]
fn no_stage_at_a_time_is_bad_input() {
    let work = tempfile::tempdir().unwrap();
    let tiny = root().join("tests/recipes/tiny.toml").display().to_string();
    let (code, _, stderr) = run(work.path(), &["run", &tiny, "--jobs", "0"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--jobs"), "{stderr}");
}
