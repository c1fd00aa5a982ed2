//! A folder that is pushed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rapport_hub::{HubError, Push, Pushed, Repo, Settings, Why};
use rapport_store::Stop;
use serde_json::{Value, json};

use super::server::{Reply, Request, Server, git, sha256};
use super::{TOKEN, bytes, hub, settings};

/// What a hub has taken.
#[derive(Default)]
struct Taken {
    /// Files by path: content that a commit carried, or the name of what the store has.
    files: BTreeMap<String, Vec<u8>>,
    store: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<usize, Vec<u8>>,
    created: Vec<Value>,
    branches: Vec<String>,
    commits: Vec<Vec<Value>>,
    verified: usize,
}

const API: &str = "/api/models/org/model";

/// Answers as a hub does whose store of large files lies at `store`.
fn answer(request: &Request, taken: &Mutex<Taken>, own: &str, store: &str) -> Reply {
    let mut taken = taken.lock().unwrap();
    let ok = |value: Value| Reply::new("200 OK", value.to_string());
    let path = request.path.as_str();
    if request.is("POST", "/api/repos/create") {
        taken.created.push(request.json());
        return match taken.created.len() {
            1 => ok(json!({"url": "x"})),
            _ => Reply::new("409 Conflict", "{\"error\": \"there\"}"),
        };
    }
    if let Some(branch) = path.strip_prefix(&format!("{API}/branch/")) {
        taken.branches.push(branch.to_owned());
        return ok(json!({}));
    }
    if path.starts_with(&format!("{API}/preupload/")) {
        let asked = request.json();
        let files = asked["files"].as_array().unwrap().iter().map(|file| {
            let path = file["path"].as_str().unwrap();
            let large = path.ends_with(".safetensors");
            let known = taken.files.get(path);
            let oid = known.map(|known| match large {
                true => String::from_utf8(known.clone()).unwrap(),
                false => git(known),
            });
            let mode = if large { "lfs" } else { "regular" };
            json!({"path": path, "uploadMode": mode, "shouldIgnore": path == "ignored.txt", "oid": oid})
        });
        return ok(json!({"files": files.collect::<Vec<_>>()}));
    }
    if path == "/org/model.git/info/lfs/objects/batch" {
        let asked = request.json();
        assert_eq!(asked["hash_algo"], "sha256");
        let objects = asked["objects"].as_array().unwrap().iter().map(|object| {
            let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap());
            if taken.store.contains_key(oid) {
                return json!({"oid": oid, "size": size});
            }
            let mut upload = json!({"href": format!("{store}/put/{oid}?Signature=signed")});
            if size > 100_000 {
                let parts = (1..=size.div_ceil(100_000)).map(|part| {
                    (format!("{part:05}"), json!(format!("{store}/part/{part}")))
                });
                let mut header: serde_json::Map<String, Value> = parts.collect();
                header.insert("chunk_size".into(), "100000".into());
                upload = json!({"href": format!("{own}/complete/{oid}"), "header": header});
            }
            json!({"oid": oid, "size": size, "actions": {"upload": upload, "verify": {"href": format!("{own}/verify")}}})
        });
        return ok(json!({"transfer": "basic", "objects": objects.collect::<Vec<_>>()}));
    }
    if let Some(oid) = path.strip_prefix("/put/") {
        let oid = oid.split('?').next().unwrap();
        taken.store.insert(oid.to_owned(), request.body.clone());
        return Reply::new("200 OK", "").with("ETag", "e");
    }
    if let Some(part) = path.strip_prefix("/part/") {
        taken
            .parts
            .insert(part.parse().unwrap(), request.body.clone());
        return Reply::new("200 OK", "").with("ETag", format!("etag-{part}"));
    }
    if let Some(oid) = path.strip_prefix("/complete/") {
        let told = request.json();
        for (at, part) in told["parts"].as_array().unwrap().iter().enumerate() {
            assert_eq!(
                part,
                &json!({"partNumber": at + 1, "etag": format!("etag-{}", at + 1)})
            );
        }
        let whole = taken.parts.values().flatten().copied().collect();
        taken.store.insert(oid.to_owned(), whole);
        return ok(json!({}));
    }
    if path == "/verify" {
        let told = request.json();
        let oid = told["oid"].as_str().unwrap();
        assert_eq!(
            taken.store[oid].len() as u64,
            told["size"].as_u64().unwrap()
        );
        taken.verified += 1;
        return ok(json!({}));
    }
    if path.starts_with(&format!("{API}/commit/")) {
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        let lines: Vec<Value> = std::str::from_utf8(&request.body)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &lines {
            let value = &line["value"];
            let path = value["path"].as_str().unwrap_or_default().to_owned();
            match line["key"].as_str().unwrap() {
                "file" => {
                    let content = decoded(value["content"].as_str().unwrap());
                    taken.files.insert(path, content);
                }
                "lfsFile" => {
                    let oid = value["oid"].as_str().unwrap();
                    assert!(taken.store.contains_key(oid));
                    taken.files.insert(path, oid.as_bytes().to_vec());
                }
                key => assert_eq!(key, "header"),
            }
        }
        taken.commits.push(lines);
        return ok(json!({"commitOid": "d".repeat(40), "commitUrl": "x"}));
    }
    Reply::new("404 Not Found", "{}")
}

fn decoded(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values = text
        .bytes()
        .filter_map(|byte| digits.iter().position(|digit| *digit == byte));
    let values: Vec<usize> = values.collect();
    let bits = values.chunks(4).flat_map(|group| {
        let bits = group
            .iter()
            .enumerate()
            .map(|(at, value)| value << (18 - 6 * at))
            .sum::<usize>();
        [16, 8, 0]
            .into_iter()
            .take(group.len() - 1)
            .map(move |shift| (bits >> shift) as u8)
    });
    bits.collect()
}

fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn push(url: &str, dir: &Path, revision: Option<&str>) -> anyhow::Result<Pushed> {
    let cache = tempfile::tempdir().unwrap();
    let push = Push {
        dir,
        repo: &Repo::model("org/model").unwrap(),
        private: true,
        revision,
        message: "Upload model",
    };
    hub(url, cache.path()).push(&push, &Stop::new())
}

#[test]
fn a_model_is_pushed_whole_and_what_is_there_is_not_pushed_again() {
    let taken: Arc<Mutex<Taken>> = Arc::default();
    let state = taken.clone();
    let store = Server::start(move |request| answer(request, &state, "", ""));
    let (state, at) = (taken.clone(), store.url.clone());
    let own: Arc<Mutex<String>> = Arc::default();
    let known = own.clone();
    let server = Server::start(move |request| answer(request, &state, &known.lock().unwrap(), &at));
    *own.lock().unwrap() = server.url.clone();
    let files = [
        ("config.json", b"{}".to_vec()),
        ("README.md", b"# card".to_vec()),
        ("empty.safetensors", Vec::new()),
        ("model-1.safetensors", bytes(250_001)),
        ("model-2.safetensors", bytes(70_000)),
        ("sub/a.txt", bytes(1_000)),
        ("ignored.txt", b"x".to_vec()),
        (".hidden", b"x".to_vec()),
    ];
    let dir = folder(&files);
    let pushed = push(&server.url, dir.path(), Some("v/1")).unwrap();
    assert_eq!(pushed.commit, Some("d".repeat(40)));
    assert_eq!(pushed.page, format!("{}/org/model/tree/v%2F1", server.url));
    assert_eq!(pushed.files, 6);
    {
        let taken = taken.lock().unwrap();
        assert_eq!(
            taken.created,
            [json!({"name": "model", "organization": "org", "private": true})]
        );
        assert_eq!(taken.branches, ["v%2F1"]);
        assert_eq!(taken.verified, 2);
        let mut expected: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (name, content) in &files[..6] {
            let large = name.ends_with("1.safetensors") || name.ends_with("2.safetensors");
            let kept = match large {
                true => sha256(content).into_bytes(),
                false => content.clone(),
            };
            if large {
                assert_eq!(taken.store[&sha256(content)], *content, "{name}");
            }
            expected.insert((*name).to_owned(), kept);
        }
        assert_eq!(taken.files, expected);
        assert_eq!(
            taken.commits[0][0],
            json!({"key": "header", "value": {"summary": "Upload model", "description": ""}})
        );
    }
    // The token went to the hub alone.
    let told = format!("Bearer {TOKEN}");
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.header("authorization") == Some(&*told))
    );
    assert_eq!(store.count("PUT", "/"), 4);
    assert!(
        store
            .requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    // Once more: there is nothing to commit. One file more: a commit of that file.
    assert_eq!(
        push(&server.url, dir.path(), Some("v/1")).unwrap().commit,
        None
    );
    fs::write(dir.path().join("new.json"), "{}").unwrap();
    push(&server.url, dir.path(), None).unwrap();
    let taken = taken.lock().unwrap();
    assert_eq!(taken.commits.len(), 2);
    assert_eq!(taken.commits[1].len(), 2);
    assert_eq!(store.count("PUT", "/"), 4);
}

#[test]
fn what_cannot_be_pushed_is_said_before_anything_is_sent() {
    let server = Server::start(|_| Reply::new("500 Oops", ""));
    for (files, expected) in [
        (&[("a.txt", Vec::new())][..], "neither config.json"),
        (&[("config.json", b"{}".to_vec())], "no safetensors"),
    ] {
        let dir = folder(files);
        let error = push(&server.url, dir.path(), None).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let dir = folder(&[
        ("adapter_config.json", b"{}".to_vec()),
        ("adapter_model.safetensors", b"x".to_vec()),
    ]);
    let error = push(&server.url, dir.path(), Some("../x")).unwrap_err();
    assert!(error.to_string().contains("--revision"), "{error}");
    let cache = tempfile::tempdir().unwrap();
    let push = Push {
        dir: dir.path(),
        repo: &Repo::model("org/model").unwrap(),
        private: false,
        revision: None,
        message: "Upload model",
    };
    for (settings, expected) in [
        (
            Settings {
                token: None,
                ..settings(&server.url, cache.path())
            },
            "HF_TOKEN",
        ),
        (
            Settings {
                offline: true,
                ..settings(&server.url, cache.path())
            },
            "HF_HUB_OFFLINE",
        ),
    ] {
        let hub = rapport_hub::Hub::new(&settings).unwrap();
        let error = hub.push(&push, &Stop::new()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_hub_that_refuses_a_push_is_heard() {
    let dir = folder(&[
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", b"x".to_vec()),
    ]);
    type Answer = fn(&Request) -> Reply;
    let cases: [(Answer, Why, &str); 4] = [
        (
            |_| Reply::new("401 Unauthorized", ""),
            Why::Denied,
            "HF_TOKEN",
        ),
        (
            |_| Reply::new("403 Forbidden", "").with("X-Error-Message", "read only"),
            Why::Denied,
            "read only",
        ),
        (
            |request| match request.is("POST", "preupload") {
                true => Reply::new(
                    "200 OK",
                    "{\"files\": [{\"path\": \"other\", \"uploadMode\": \"lfs\"}]}",
                ),
                false => Reply::new("200 OK", "{}"),
            },
            Why::Wrong,
            "does not say how",
        ),
        (
            |request| match request.is("POST", "preupload") {
                true => Reply::new("200 OK", "[]"),
                false => Reply::new("200 OK", "{}"),
            },
            Why::Wrong,
            "how to upload",
        ),
    ];
    for (answer, why, expected) in cases {
        let server = Server::start(answer);
        let error = push(&server.url, dir.path(), None).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.downcast_ref::<HubError>().unwrap().why, why);
    }
}
