//! The program with a model and rows on a hub: fetched when due, known by their commit, and not asked for again.

#[path = "../crates/hub/tests/server.rs"]
#[allow(dead_code)]
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use assert_cmd::cargo::CommandCargoExt;

use crate::cli::root;
use server::{Repo, Server};

const TOKEN: &str = "hf_SecretTokenOfTheTests0123";

/// Runs the program in `work`, where its cache lies too, with a hub.
fn run(work: &Path, hub: &str, more: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let mut command = Command::cargo_bin("rapport").unwrap();
    command.current_dir(work).args(arguments);
    for name in [
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "HF_TOKEN_PATH",
        "TRANSFORMERS_OFFLINE",
    ] {
        command.env_remove(name);
    }
    command
        .env("HF_HOME", work.join("home"))
        .env("HF_ENDPOINT", hub);
    command.env("HF_TOKEN", TOKEN).env("RAPPORT_LOG", "trace");
    command.envs(more.iter().copied());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

const RUN: [&str; 8] = [
    "run",
    "dpo",
    "--set",
    "model.path=hub:org/model",
    "--set",
    "data.train=hub:datasets/org/data/pairs.jsonl",
    "--set",
    "train.max_steps=2",
];

fn repos() -> [Repo; 2] {
    let folder = root().join("tests/fixtures/trl_dpo");
    let mut model = Repo::new("models/org/model", &[]);
    for entry in std::fs::read_dir(folder.join("model")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        model.files.insert(name, std::fs::read(path).unwrap());
    }
    model
        .files
        .insert("pytorch_model.bin".into(), b"pickle".to_vec());
    let rows = std::fs::read(folder.join("pairs.jsonl")).unwrap();
    [
        model,
        Repo::new("datasets/org/data", &[("pairs.jsonl", &rows)]),
    ]
}

/// Every file below a folder, by its path.
fn everything(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            everything(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found.insert(path.display().to_string(), text);
        }
    }
}

#[test]
fn a_run_takes_its_model_and_rows_from_a_hub_and_then_from_the_cache() {
    let served: Arc<Mutex<[Repo; 2]>> = Arc::new(Mutex::new(repos()));
    let state = served.clone();
    let server = Server::start(move |request| {
        let repos = state.lock().unwrap();
        repos[usize::from(request.path.contains("org/data"))].answer(request)
    });
    let work = tempfile::tempdir().unwrap();
    let plan = [&RUN[..], &["--dry-run"]].concat();
    let (code, text) = run(work.path(), &server.url, &[], &plan);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        server.count("GET", "/resolve/"),
        0,
        "a look fetches nothing"
    );
    let (code, text) = run(work.path(), &server.url, &[], &RUN);
    assert_eq!(code, 0, "{text}");
    assert_eq!(server.count("GET", ".bin"), 0);
    let gets = server.count("GET", "/resolve/");
    let out = work.path().join("runs/dpo/sandbox");
    let commit = repos()[0].commit.clone();
    let recipe = std::fs::read_to_string(out.join("recipe.toml")).unwrap();
    assert!(
        recipe.contains(&format!("\"hub:org/model@{commit}\"")),
        "{recipe}"
    );
    let card = std::fs::read_to_string(out.join("model/README.md")).unwrap();
    assert!(
        card.contains("base_model: org/model\n") && card.contains(&commit),
        "{card}"
    );
    let mut files = BTreeMap::new();
    everything(work.path(), &mut files);
    for (path, text) in files.iter().chain([(&"printed".to_owned(), &text)]) {
        assert!(!text.contains(TOKEN), "{path}");
    }
    // The same commit: nothing is fetched, and nothing is run again.
    let (code, text) = run(work.path(), &server.url, &[], &RUN);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("done in"), "{text}");
    assert_eq!(server.count("GET", "/resolve/"), gets);
    let asked = server.requests().len();
    let (code, text) = run(work.path(), &server.url, &[("HF_HUB_OFFLINE", "1")], &RUN);
    assert_eq!(code, 0, "{text}");
    assert_eq!(server.requests().len(), asked);
    // Another commit of the same name is another stage, and what is the same in both is not fetched again.
    {
        let mut repos = served.lock().unwrap();
        repos[0].commit = "d1".repeat(20);
        let config = repos[0].files.get_mut("config.json").unwrap();
        config.push(b'\n');
    }
    let (code, text) = run(work.path(), &server.url, &[], &RUN);
    assert_eq!(code, 0, "{text}");
    let done = format!("{:24} done in", "model");
    assert!(text.contains(&done), "{text}");
    assert_eq!(server.count("GET", "/resolve/"), gets + 1);
}

/// An adapter whose base has a hub's name, here and on that hub.
#[test]
fn an_adapter_is_opened_with_the_base_that_it_names_on_a_hub() {
    let [base, rows] = repos();
    let from = root().join("tests/fixtures/lora/grown");
    let mut adapter = Repo::new("models/org/adapter", &[]);
    let work = tempfile::tempdir().unwrap();
    let here = work.path().join("adapter");
    std::fs::create_dir(&here).unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let mut bytes = std::fs::read(from.join(name)).unwrap();
        if name == "adapter_config.json" {
            let text = String::from_utf8(bytes).unwrap();
            bytes = text
                .replace("../../trl_dpo/model", "org/model")
                .into_bytes();
        }
        std::fs::write(here.join(name), &bytes).unwrap();
        adapter.files.insert(name.into(), bytes);
    }
    let server = Server::start(move |request| {
        let repos = [("org/data", &rows), ("org/adapter", &adapter), ("", &base)];
        let asked = repos.iter().find(|(name, _)| request.path.contains(name));
        asked.unwrap().1.answer(request)
    });
    let with = |path: &str, more: &[&str]| {
        let path = format!("model.path={path}");
        let arguments = [&RUN[..2], &["--set", &path], &RUN[4..], more].concat();
        run(work.path(), &server.url, &[], &arguments)
    };
    let (code, text) = with("adapter", &["--set", "train.lora={}"]);
    assert_eq!(code, 0, "{text}");
    let out = work.path().join("runs/dpo/sandbox");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let report = read(&out.join("report.md"));
    assert!(
        report.contains("an adapter of rank 2 for 14 linear maps, on the base"),
        "{report}"
    );
    let recipe = read(&out.join("recipe.toml"));
    let commit = repos()[0].commit.clone();
    assert!(
        recipe.contains(&format!("base = \"hub:org/model@{commit}\"")),
        "{recipe}"
    );
    let card = read(&out.join("model/README.md"));
    assert!(
        card.contains("library_name: peft\nbase_model: org/model\n"),
        "{card}"
    );
    // Of an adapter on a hub, the base takes part in what the stage is before anything of it is here.
    let (code, text) = with("hub:org/adapter", &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("base = \"hub:org/model\""), "{text}");
    let (code, text) = with("hub:org/adapter", &["--set", "model.base=hub:org/model"]);
    assert_eq!(code, 0, "{text}");
    let merge = ["merge", "hub:org/adapter", "--out", "merged"];
    let (code, text) = run(work.path(), &server.url, &[], &merge);
    assert_eq!(code, 0, "{text}");
    assert!(read(&work.path().join("merged/README.md")).contains("hub:org/adapter"));
    let export = ["export", "adapter", "--gguf", "F16", "--out", "x.gguf"];
    let (code, text) = run(work.path(), &server.url, &[], &export);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("rapport merge"), "{text}");
}

#[test]
fn what_a_hub_has_not_is_told_by_line_and_key() {
    let [model, _] = repos();
    let server = Server::start(move |request| model.answer(request));
    let work = tempfile::tempdir().unwrap();
    let rows = root().join("tests/fixtures/trl_dpo/pairs.jsonl");
    let rows = format!("data.train={}", rows.display());
    for (name, expected) in [
        ("hub:org/other", "no such repository"),
        ("hub:org/model@v9", "no such revision"),
        ("hub:org/../model", "expected hub:ORG/NAME"),
        ("hub:org/model/sub", "no config.json"),
    ] {
        let set = format!("model.path={name}");
        let arguments = ["run", "dpo", "--set", &set, "--set", &rows];
        let (code, text) = run(work.path(), &server.url, &[], &arguments);
        assert_eq!(code, 2, "{name}: {text}");
        assert!(text.contains(expected), "{name}: {text}");
        // Nothing is asked to validate; only a name's form is wrong then.
        let validate = ["validate", "dpo", "--set", &set, "--set", &rows];
        let before = server.requests().len();
        let (code, text) = run(work.path(), &server.url, &[], &validate);
        assert_eq!(
            code,
            if name.contains("..") { 2 } else { 0 },
            "{name}: {text}"
        );
        assert_eq!(server.requests().len(), before);
    }
    let offline = [("HF_HUB_OFFLINE", "1")];
    let arguments = [
        "run",
        "dpo",
        "--set",
        "model.path=hub:org/unseen",
        "--set",
        &rows,
    ];
    let (code, text) = run(work.path(), &server.url, &offline, &arguments);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("stage.model.path") && text.contains("HF_HUB_OFFLINE"),
        "{text}"
    );
}
