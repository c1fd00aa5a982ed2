//! What must not happen to what is the user's, nor pass for what is ours.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use assert_cmd::cargo::CommandCargoExt;

use crate::cli::{root, run};

const ROW: &str = r#"{"prompt": "a", "chosen": " b", "rejected": " c"}"#;

/// A folder with a copy of a small model and a file of pairs, and the arguments that train on them.
struct Case {
    work: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let work = tempfile::tempdir().unwrap();
        copy(
            &root().join("tests/fixtures/trl_dpo/model"),
            &work.path().join("base"),
        );
        let rows = format!("{ROW}\n{ROW}\n");
        fs::write(work.path().join("pairs.jsonl"), rows).unwrap();
        Self { work }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn arguments(model: &str, more: &[&str]) -> Vec<String> {
        let experiments = root().join("experiments").display().to_string();
        let model = format!("model.path={model}");
        let base = ["run", "dpo", "--experiments", &experiments, "--set", &model];
        let data = [
            "--set",
            "data.train=pairs.jsonl",
            "--set",
            "train.max_steps=1",
        ];
        let all = base.iter().chain(&data).chain(more);
        all.map(|word| (*word).to_owned()).collect()
    }

    fn run(&self, model: &str, more: &[&str]) -> (i32, String, String) {
        let arguments = Self::arguments(model, more);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(self.work.path(), &words)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The finished artifact of a kind.
fn artifact(runs: &Path, kind: &str) -> PathBuf {
    let entries = fs::read_dir(runs.join(".artifacts")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let is = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(&format!("{kind}-")) && path.extension().is_none()
    };
    paths.find(is).unwrap()
}

#[test]
fn a_run_never_writes_over_its_inputs_or_what_is_not_its_own() {
    let case = Case::new();
    fs::rename(case.path("base"), case.path("model")).unwrap();
    fs::write(case.path("model/NOTES.txt"), "mine").unwrap();
    // The base model is what would be replaced; and by a link; and a folder that is read would be written into.
    std::os::unix::fs::symlink(case.path("model"), case.path("link")).unwrap();
    for (model, more) in [
        ("model", &["--out", "."][..]),
        ("link", &["--out", "."]),
        ("model", &["--out", "model/out"]),
        ("model", &["--runs", "model"]),
        ("model", &["--runs", "link/runs"]),
        ("model", &["--out", "pairs.jsonl"]),
        ("model", &["--out", "runs/.artifacts/x"]),
    ] {
        let (code, _, stderr) = case.run(model, more);
        assert_eq!(code, 2, "{more:?}: {stderr}");
        assert_eq!(fs::read(case.path("model/NOTES.txt")).unwrap(), b"mine");
        assert!(
            !case.path("runs").exists() && !case.path("model/.artifacts").exists(),
            "{more:?}"
        );
    }
    // What lies there is not read by the run, and is the user's all the same.
    copy(&case.path("model"), &case.path("base"));
    for name in [
        "model",
        "recipe.toml",
        "report.html",
        "metrics.jsonl",
        "summary.json",
    ] {
        let out = case.path("mine");
        match name {
            "model" => copy(&case.path("base"), &out.join(name)),
            _ => {
                fs::create_dir(&out).unwrap();
                fs::write(out.join(name), "mine").unwrap();
            }
        }
        let (code, _, stderr) = case.run("base", &["--out", "mine"]);
        assert_eq!(code, 2, "{name}: {stderr}");
        assert!(
            stderr.contains(name) && stderr.contains("--out"),
            "{stderr}"
        );
        assert_eq!(
            fs::read_dir(&out).unwrap().count(),
            1,
            "{name}: nothing was written"
        );
        fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn what_the_user_makes_of_a_runs_files_stays_and_reaches_no_artifact() {
    let case = Case::new();
    let out = ["--out", "out"];
    let (code, _, stderr) = case.run("base", &out);
    assert_eq!(code, 0, "{stderr}");
    let (config, recipe) = (
        case.path("out/model/config.json"),
        case.path("out/recipe.toml"),
    );
    let written = fs::read(&config).unwrap();
    fs::write(&config, "edited").unwrap();
    fs::write(&recipe, "edited").unwrap();
    assert_eq!(
        fs::read(artifact(&case.path("runs"), "dpo").join("model/config.json")).unwrap(),
        written
    );
    let (code, _, stderr) = case.run("base", &out);
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains("done in"), "nothing ran again: {stderr}");
    assert_eq!(fs::read(&config).unwrap(), b"edited");
    assert_eq!(
        fs::read(case.path("out/recipe.toml.old-1")).unwrap(),
        b"edited"
    );
    // Another model comes in its place only beside it.
    let (code, _, stderr) = case.run("base", &["--out", "out", "--set", "train.beta=0.2"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(fs::read(&config).unwrap(), written);
    assert_eq!(
        fs::read(case.path("out/model.old-1/config.json")).unwrap(),
        b"edited"
    );
}

#[test]
fn damage_in_the_store_is_found_told_and_mended() {
    let case = Case::new();
    let verify = || run(case.work.path(), &["verify"]);
    assert_eq!(verify().0, 2, "there is nothing yet");
    assert_eq!(case.run("base", &[]).0, 0);
    assert_eq!(verify().0, 0);
    let runs = case.path("runs");
    let summary = fs::read(runs.join("dpo/sandbox/summary.json")).unwrap();
    let metrics = |bytes: &[u8]| -> serde_json::Value {
        let summary: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        summary["metrics"].clone()
    };
    for (kind, name) in [
        ("dpo", "model/model.safetensors"),
        ("dpo", "measures.json"),
        ("dpo", "metrics.jsonl"),
        ("preferences", "train.jsonl"),
        ("reference-logps", "logps.f32"),
        ("preferences", "artifact.json"),
    ] {
        let file = artifact(&runs, kind).join(name);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        let (code, stdout, _) = verify();
        assert_eq!(code, 1, "{name}");
        assert!(
            stdout.contains(&format!("{name} is damaged")),
            "{name}: {stdout}"
        );
        let more: &[&str] = match kind {
            // A side product is read when the stage that needs it runs.
            "reference-logps" => &["--set", "train.learning_rate=1e-7"],
            _ => &[],
        };
        let (code, _, stderr) = case.run("base", more);
        assert_eq!(code, 0, "{name}: {stderr}");
        assert!(stderr.contains(&format!("{name} is damaged")), "{stderr}");
        let (code, stdout, _) = verify();
        assert_eq!(code, 0, "{name}: {stdout}");
    }
    let (code, _, stderr) = case.run("base", &[]);
    assert_eq!(code, 0, "{stderr}");
    let again = fs::read(runs.join("dpo/sandbox/summary.json")).unwrap();
    assert_eq!(metrics(&again), metrics(&summary));
}

#[test]
fn nobody_reading_ends_nothing_that_trains_and_no_verb_in_a_panic() {
    let case = Case::new();
    let spawn = |arguments: &[String], stdout: Stdio, stderr: Stdio| {
        let mut command = Command::cargo_bin("rapport").unwrap();
        command.current_dir(case.work.path()).args(arguments);
        command.stdout(stdout).stderr(stderr).spawn().unwrap()
    };
    // A log that nobody reads.
    let mut child = spawn(&Case::arguments("base", &[]), Stdio::null(), Stdio::piped());
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    let experiments = root().join("experiments").display().to_string();
    for verb in [
        &["list", "--experiments", &experiments][..],
        &["list", "--json", "--experiments", &experiments],
        &["show", "dpo"],
        &["doctor"],
        &["verify"],
        &["report", "dpo"],
        &["report", "dpo", "--json"],
    ] {
        let words: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        let mut child = spawn(&words, Stdio::piped(), Stdio::piped());
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{verb:?}: {stderr}");
        assert_eq!(stderr, "", "{verb:?}");
    }
    if Path::new("/dev/full").exists() {
        let full = || {
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap()
        };
        let mut child = spawn(
            &Case::arguments("base", &["--set", "train.beta=0.3"]),
            Stdio::null(),
            full().into(),
        );
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn what_is_no_file_is_refused_by_its_key_and_a_name_stays_where_it_belongs() {
    let case = Case::new();
    let fifo = |name: &str| {
        let status = Command::new("mkfifo")
            .arg(case.path(name))
            .status()
            .unwrap();
        assert!(status.success());
    };
    fifo("pipe.jsonl");
    let (code, _, stderr) = case.run("base", &["--set", "data.train=pipe.jsonl"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("data.train") && stderr.contains("pipe.jsonl"),
        "{stderr}"
    );
    fifo("base/extra");
    let (code, _, stderr) = case.run("base", &[]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("model.path") && stderr.contains("extra"),
        "{stderr}"
    );
    let (code, _, stderr) = run(case.work.path(), &["score", "base", "pipe.jsonl"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("not a regular file"), "{stderr}");
    let recipe = fs::read_to_string(root().join("tests/recipes/tiny.toml")).unwrap();
    for name in ["..toml", "...toml", ".artifacts.toml"] {
        fs::write(case.path(name), &recipe).unwrap();
        let (code, _, stderr) = run(case.work.path(), &["run", name, "--dry-run"]);
        assert_eq!(code, 2, "{name}: {stderr}");
    }
    let odd = format!("{recipe}\n[profile.\"../../x\"]\ntitle = \"x\"\n");
    fs::write(case.path("odd.toml"), odd).unwrap();
    let words = ["run", "./odd.toml", "--profile", "../../x", "--dry-run"];
    let (code, _, stderr) = run(case.work.path(), &words);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("letters, digits"), "{stderr}");
    assert_eq!(run(case.work.path(), &["report", ".."]).0, 2);
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let case = Case::new();
    fs::write(
        case.path("pairs.jsonl"),
        "{\"prompt\": \"a\", \"\\u001b[2Jx\": 1}\n\u{1b}[31m\n",
    )
    .unwrap();
    fs::create_dir(case.path("e")).unwrap();
    fs::write(
        case.path("e/r.toml"),
        "title = \"\\u001b]0;x\\u0007\"\nseeds = 3\n",
    )
    .unwrap();
    let (code, _, stderr) = case.run("base", &[]);
    assert_eq!(code, 2, "{stderr}");
    let (_, stdout, _) = run(case.work.path(), &["list", "--experiments", "e"]);
    let (_, json, _) = run(case.work.path(), &["list", "--experiments", "e", "--json"]);
    for text in [stderr, stdout, json] {
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    }
}
