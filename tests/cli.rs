//! The program as its user calls it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;
use serde_json::Value;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rapport(work: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rapport").unwrap();
    command.current_dir(work).args(arguments);
    command
}

pub fn run(work: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = rapport(work, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn tiny() -> String {
    root().join("tests/recipes/tiny.toml").display().to_string()
}

/// What a finished run measured, without times and places.
fn measured(work: &Path) -> (Value, Value, Vec<String>) {
    let text = std::fs::read_to_string(work.join("runs/tiny/sandbox/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&text).unwrap();
    let steps = std::fs::read_to_string(work.join("runs/tiny/sandbox/metrics.jsonl")).unwrap();
    let steps = steps
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            format!(
                "{} {} {} {}",
                line["stage"], line["seed"], line["step"], line["loss"]
            )
        })
        .collect();
    (summary["metrics"].clone(), summary["claims"].clone(), steps)
}

#[test]
fn a_run_ends_with_its_report_and_is_not_run_twice() {
    let work = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(work.path(), &["run", &tiny()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stdout.contains("Hits") && stdout.contains("report.html"),
        "{stdout}"
    );
    let out = work.path().join("runs/tiny/sandbox");
    for file in [
        "recipe.toml",
        "metrics.jsonl",
        "report.html",
        "report.md",
        "summary.json",
    ] {
        assert!(out.join(file).exists(), "{file}");
    }
    let first = measured(work.path());
    assert_eq!(
        first.2.len(),
        2 * (12 + 2 * 5),
        "one line a step: {:#?}",
        first.2
    );
    let started = Instant::now();
    let (code, _, stderr) = run(work.path(), &["run", &tiny()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains("done in"), "nothing ran again: {stderr}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(measured(work.path()), first);

    // The resolved recipe plans to the same stages.
    let resolved = out.join("recipe.toml");
    let copy = work.path().join("tiny.toml");
    std::fs::copy(&resolved, &copy).unwrap();
    let (code, stdout, _) = run(work.path(), &["run", copy.to_str().unwrap(), "--dry-run"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("0 stages to run"), "{stdout}");
}

#[test]
fn killed_again_and_again_a_run_ends_like_one_that_never_was() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(run(whole.path(), &["run", &tiny()]).0, 0);
    let (mut kills, mut wait) = (0, 30);
    loop {
        let mut child = rapport(killed.path(), &["run", &tiny()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_millis(wait);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                // SIGKILL: no handler runs.
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        match status {
            Some(status) => {
                assert!(status.success(), "{status}");
                break;
            }
            None => kills += 1,
        }
        // Longer and longer, so that every stage is hit sooner or later and the end is reached.
        wait += 25;
        assert!(kills < 200, "the run never finishes");
    }
    assert!(kills >= 3, "{kills} kills");
    assert!(
        measured(killed.path()) == measured(whole.path()),
        "{:#?}\nand whole:\n{:#?}",
        measured(killed.path()),
        measured(whole.path())
    );
    let leftovers: Vec<PathBuf> = std::fs::read_dir(killed.path().join("runs/.artifacts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".partial"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

/// The arguments of DPO on a tiny model with a chat template.
fn chat(rows: &Path, sets: &[&str]) -> Vec<String> {
    let model = root().join("tests/fixtures/trl_chat/model");
    let experiments = root().join("experiments").display().to_string();
    let mut arguments = ["run", "dpo", "--experiments", &experiments]
        .map(str::to_owned)
        .to_vec();
    let paths = [
        format!("model.path={}", model.display()),
        format!("data.train={}", rows.display()),
    ];
    for set in paths.iter().map(String::as_str).chain(sets.iter().copied()) {
        arguments.extend(["--set".to_owned(), set.to_owned()]);
    }
    arguments
}

#[test]
fn a_dry_run_remarks_what_the_run_would() {
    let work = tempfile::tempdir().unwrap();
    let rows = work.path().join("pairs.jsonl");
    let row = r#"{"prompt": [{"role": "user", "content": "a"}], "score": 1,
        "chosen": [{"role": "assistant", "content": "a long reply"}], "rejected": [{"role": "assistant", "content": "b"}]}"#;
    std::fs::write(&rows, row.replace('\n', " ")).unwrap();
    let sets = [
        "data.chat_template_kwargs.deep=true",
        "train.max_length=24",
        "train.max_steps=1",
        "train.min_prompt_kept=0",
    ];
    let arguments = chat(&rows, &sets);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, _, stderr) = run(work.path(), &arguments);
    assert_eq!(code, 0, "{stderr}");
    let report = std::fs::read_to_string(work.path().join("runs/dpo/sandbox/report.md"));
    let report = report.unwrap().replace('\\', "");
    let fresh = tempfile::tempdir().unwrap();
    arguments.push("--dry-run");
    let (code, stdout, stderr) = run(fresh.path(), &arguments);
    assert_eq!(code, 0, "{stderr}");
    for remark in [
        "data: train: 1 with column `score`, which nothing reads",
        "data: chat_template_kwargs.deep is given to the chat template, which does not read it",
        "max_length 24 cut",
    ] {
        assert!(stdout.contains(remark), "{remark}\nnot in\n{stdout}");
        let words = remark.trim_start_matches("data: ");
        assert!(report.contains(words), "{words}\nnot in\n{report}");
    }
}

#[test]
fn an_error_names_its_stage_once() {
    let work = tempfile::tempdir().unwrap();
    let rows = root().join("tests/fixtures/trl_chat/chat.jsonl");
    let arguments = chat(&rows, &["train.max_length=8"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, _, stderr) = run(work.path(), &arguments);
    assert_eq!(code, 2, "{stderr}");
    let told = "error: stage train seed 42: train: max_length 8 cut 24 prompts";
    assert!(stderr.contains(told), "{stderr}");
}

#[test]
fn every_problem_of_a_recipe_is_reported_at_once_and_nothing_starts() {
    let work = tempfile::tempdir().unwrap();
    let recipe = work.path().join("wrong.toml");
    let text = r#"title = "Wrong"
seeds = [1]
outputs = ["sft", "rank"]

[stage.world]
kind = "persona-world"
per_seed = false
trian = 40

[stage.scratch]
kind = "scratch"
per_seed = false
tokenizer = "@tokeniser"
hidden_size = "wide"

[stage.sft]
kind = "sft"
model = "@scratch"
data = "@scratch"
learning_rate = 2.5

[stage.rank]
kind = "rank"
model = "@loop"
data = "@world"

[stage.loop]
kind = "sft"
model = "@loop"
data = "@world"
"#;
    std::fs::write(&recipe, text).unwrap();
    let set = "sft.adam_beta1=yes";
    let path = recipe.to_str().unwrap();
    let (code, _, stderr) = run(work.path(), &["run", path, "--set", set]);
    assert_eq!(code, 2, "{stderr}");
    for (what, line, expected) in [
        ("unknown key", 8, "train"),
        ("unknown stage", 13, "tokeniser"),
        ("wrong type", 14, "hidden_size"),
        ("wrong kind of artifact", 19, "dialogues"),
        ("impossible value", 20, "learning_rate"),
        ("cycle", 29, "loop"),
    ] {
        let place = format!("wrong.toml:{line}:");
        let found = stderr
            .lines()
            .any(|l| l.contains(&place) && l.contains(expected));
        assert!(found, "{what} at line {line} with {expected:?}:\n{stderr}");
    }
    assert!(stderr.contains(set), "{stderr}");
    assert!(
        !work.path().join("runs/wrong").exists(),
        "nothing was started"
    );
}

#[test]
fn missing_files_and_backends_name_the_remedy() {
    let work = tempfile::tempdir().unwrap();
    let experiments = root().join("experiments").display().to_string();
    let base = ["run", "dpo", "--experiments", &experiments];
    let (code, _, stderr) = run(work.path(), &base);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("--set model.path") && stderr.contains("--set data.train"),
        "{stderr}"
    );
    let missing = [&base[..], &["--set", "model.path=/no/such/folder"]].concat();
    let (code, _, stderr) = run(work.path(), &missing);
    assert_eq!(code, 2);
    assert!(stderr.contains("/no/such/folder"), "{stderr}");
    let (code, _, stderr) = run(work.path(), &["run", &tiny(), "--backend", "abacus"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("flex, ndarray, wgpu, cuda"), "{stderr}");
    if !cfg!(feature = "cuda") {
        let (code, _, stderr) = run(work.path(), &["run", &tiny(), "--backend", "cuda"]);
        assert_eq!(code, 2);
        assert!(stderr.contains("--features cuda"), "{stderr}");
    }
}

#[test]
fn bad_rows_are_named_by_line_and_lose_nothing() {
    let work = tempfile::tempdir().unwrap();
    let rows = work.path().join("pairs.jsonl");
    let good = r#"{"prompt": "a", "chosen": " b", "rejected": " c"}"#;
    let text = format!("{good}\n{{\"prompt\": \"a\", \"chosen\": 3}}\n{good}\nnot json\n");
    std::fs::write(&rows, text).unwrap();
    let model = root().join("tests/fixtures/trl_dpo/model");
    let sets = [
        format!("model.path={}", model.display()),
        format!("data.train={}", rows.display()),
    ];
    let experiments = root().join("experiments").display().to_string();
    let arguments = [
        "run",
        "dpo",
        "--experiments",
        &experiments,
        "--set",
        &sets[0],
        "--set",
        &sets[1],
    ];
    let (code, _, stderr) = run(work.path(), &arguments);
    assert_eq!(code, 2, "{stderr}");
    for place in ["pairs.jsonl:2", "pairs.jsonl:4", "chosen"] {
        assert!(stderr.contains(place), "{place}: {stderr}");
    }
    // Mended, the same command goes on; what was finished before is not done again.
    std::fs::write(&rows, format!("{good}\n{good}\n")).unwrap();
    let (code, _, stderr) = run(work.path(), &arguments);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        !stderr.contains("model                    done"),
        "{stderr}"
    );
}

#[test]
fn the_other_verbs_answer() {
    let experiments = root().join("experiments").display().to_string();
    let folder = ["--experiments", experiments.as_str()];
    let work = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(work.path(), &[&["list"], &folder[..]].concat());
    assert_eq!(code, 0);
    for recipe in std::fs::read_dir(&experiments).unwrap() {
        let name = recipe.unwrap().path();
        let name = name.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            stdout.lines().any(|line| line.starts_with(&name)),
            "{name}: {stdout}"
        );
        let (code, _, stderr) = run(work.path(), &[&["validate", &name], &folder[..]].concat());
        assert_eq!(code, 0, "{name}: {stderr}");
    }
    let (code, stdout, _) = run(work.path(), &["show", "dpo", "--experiments", "/nowhere"]);
    assert_eq!(code, 0, "a stage kind needs no recipe");
    assert!(
        stdout.contains("beta") && stdout.contains("0.1"),
        "{stdout}"
    );
    assert_eq!(run(work.path(), &["doctor"]).0, 0);
    let (code, _, stderr) = run(work.path(), &["report", "nothing"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("rapport run nothing"), "{stderr}");
}

#[test]
fn from_an_empty_folder_the_program_has_its_recipes() {
    let work = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let (code, stdout, stderr) = run(work.path(), arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    };
    assert!(said(&["list"]).contains("persona-dpo  "));
    assert!(said(&["show", "persona-dpo-noshuffle"]).contains("kind = \"dpo\""));
    said(&["validate", "persona-ppo"]);
    let plan = said(&["run", "persona-dpo", "--dry-run", "--set", "seeds=[1]"]);
    assert!(plan.contains("recipe: built-in persona-dpo.toml"), "{plan}");
    // A folder on disk wins, and is laid over those that the program carries.
    std::fs::create_dir(work.path().join("experiments")).unwrap();
    let own = "extends = \"persona-dpo-noshuffle\"\ntitle = \"Own\"\nseeds = [7]\n";
    std::fs::write(work.path().join("experiments/persona-dpo.toml"), own).unwrap();
    let plan = said(&["run", "persona-dpo", "--dry-run"]);
    assert!(
        plan.contains("recipe: experiments/persona-dpo.toml"),
        "{plan}"
    );
    assert!(plan.contains("seeds [7]"), "{plan}");
    let listed: Value = serde_json::from_str(&said(&["list", "--json"])).unwrap();
    let from = |name: &str| {
        let mut rows = listed.as_array().unwrap().iter();
        rows.find(|row| row["name"] == name).unwrap()["from"].clone()
    };
    assert_eq!(from("persona-dpo"), "experiments/persona-dpo.toml");
    assert_eq!(from("sft"), "built-in sft.toml");
}

#[test]
fn a_new_recipe_is_valid_as_it_is_and_overwrites_nothing() {
    let work = tempfile::tempdir().unwrap();
    for kind in ["sft", "dpo", "kto", "reward-model"] {
        let name = format!("my-{kind}");
        let (code, stdout, stderr) = run(work.path(), &["init", &name, "--kind", kind]);
        assert_eq!(code, 0, "{stderr}");
        assert!(
            stdout.contains(&format!("experiments/{name}.toml")),
            "{stdout}"
        );
        let (code, stdout, stderr) = run(work.path(), &["validate", &name]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains("stage.model.path"), "{stdout}");
        let (code, stdout, stderr) = run(work.path(), &["run", &name, "--dry-run"]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains("train seed 1"), "{stdout}");
    }
    let (code, _, stderr) = run(work.path(), &["init", "mine", "--extends", "persona-dpo"]);
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = run(work.path(), &["run", "mine", "--dry-run"]);
    assert_eq!(code, 0, "{stderr}");
    let path = work.path().join("experiments/mine.toml");
    std::fs::write(&path, "mine").unwrap();
    for (arguments, expected) in [
        (&["init", "mine"][..], "is there already"),
        (&["init", "../mine"], "expected a name"),
        (
            &["init", "other", "--extends", "persona-dop"],
            "did you mean persona-dpo",
        ),
    ] {
        let (code, _, stderr) = run(work.path(), arguments);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert!(!work.path().join("experiments/other.toml").exists());
}
