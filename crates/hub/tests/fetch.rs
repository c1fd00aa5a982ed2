//! What is fetched, kept, and used again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use rapport_hub::{HubError, Wanted, Why};
use rapport_store::Stop;

use super::server::{Repo, Server, git, sha256};
use super::{TOKEN, bytes, hub, name, offline};

fn model() -> Repo {
    let index = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    Repo::new(
        "models/org/model",
        &[
            ("config.json", b"{}"),
            ("tokenizer.json", b"{\"a\": 1}"),
            ("additional_chat_templates/rag.jinja", b"x"),
            ("model.safetensors.index.json", index),
            ("model-1.safetensors", &bytes(3_000_000)),
            ("model-2.safetensors", &bytes(50_000)),
            ("pytorch_model.bin", b"pickle"),
            ("README.md", b"card"),
        ],
    )
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_model_lies_in_the_cache_as_huggingface_hub_keeps_it_and_is_not_fetched_again() {
    let mut repo = model();
    let store = repo.clone();
    let other = Server::start(move |request| store.stored(request));
    repo.store = Some(other.url.clone());
    let served = repo.clone();
    let server = Server::start(move |request| served.answer(request));
    let cache = tempfile::tempdir().unwrap();
    let stop = Stop::new();
    let hub_ = hub(&server.url, cache.path());
    let pinned = hub_.pin(&name("hub:org/model"), &stop).unwrap();
    assert_eq!(pinned.to_string(), format!("hub:org/model@{}", repo.commit));
    let folder = hub_.fetch(&pinned, Wanted::Model, &stop).unwrap();
    let root = cache.path().join("models--org--model");
    assert_eq!(folder, root.join("snapshots").join(&repo.commit));
    for (file, content) in &repo.files {
        let kept = folder.join(file);
        if ["pytorch_model.bin", "README.md"].contains(&&**file) {
            assert!(!kept.exists(), "{file}");
            continue;
        }
        assert_eq!(&fs::read(&kept).unwrap(), content, "{file}");
        let etag = match file.ends_with(".safetensors") {
            true => sha256(content),
            false => git(content),
        };
        let up = "../".repeat(1 + file.split('/').count());
        let link = fs::read_link(&kept).unwrap();
        assert_eq!(link.to_str().unwrap(), format!("{up}blobs/{etag}"));
    }
    assert_eq!(
        fs::read_to_string(root.join("refs/main")).unwrap(),
        repo.commit
    );
    assert!(
        names(&root.join("blobs"))
            .iter()
            .all(|name| !name.contains("incomplete"))
    );
    assert!(names(&folder).iter().all(|name| !name.starts_with('.')));
    // The token went to the hub, and to no other host.
    let told = format!("Bearer {TOKEN}");
    for request in server.requests() {
        assert_eq!(
            request.header("authorization"),
            Some(&*told),
            "{}",
            request.path
        );
    }
    assert_eq!(other.count("GET", "safetensors"), 2);
    for request in other.requests() {
        assert_eq!(request.header("authorization"), None);
        assert!(!format!("{request:?}").contains(TOKEN));
    }
    // A commit that is there needs no server; a branch needs one question, or none where nothing may be asked.
    let before = server.requests().len();
    let again = hub(&server.url, cache.path());
    again.fetch(&pinned, Wanted::Model, &stop).unwrap();
    again.fetch(&pinned, Wanted::Tokenizer, &stop).unwrap();
    assert_eq!(server.requests().len(), before);
    drop((server, other));
    let offline = offline(cache.path());
    assert_eq!(offline.pin(&name("hub:org/model"), &stop).unwrap(), pinned);
    offline.fetch(&pinned, Wanted::Model, &stop).unwrap();
    assert!(offline.is_here(&pinned, Wanted::Model));
    // A hub that is not reached leaves what was.
    assert_eq!(
        again.pin(&name("hub:org/model@main"), &stop).unwrap(),
        pinned
    );
    let error = offline.pin(&name("hub:org/model@v2"), &stop).unwrap_err();
    assert!(format!("{error:#}").contains("HF_HUB_OFFLINE"), "{error:#}");
    fs::remove_file(folder.join("model-2.safetensors")).unwrap();
    let error = offline.fetch(&pinned, Wanted::Model, &stop).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("model-2.safetensors") && error.contains("HF_HUB_OFFLINE"),
        "{error}"
    );
}

#[test]
fn a_branch_that_moves_is_another_commit() {
    let cache = tempfile::tempdir().unwrap();
    let stop = Stop::new();
    let mut pins = Vec::new();
    for commit in ["a1", "b2"] {
        let repo = Repo {
            commit: commit.repeat(20),
            ..Repo::new("models/org/model", &[("config.json", b"{}")])
        };
        let server = Server::start(move |request| repo.answer(request));
        let pinned = hub(&server.url, cache.path()).pin(&name("hub:org/model@refs/pr/1"), &stop);
        pins.push(pinned.unwrap());
    }
    assert_ne!(pins[0], pins[1]);
    let kept = cache.path().join("models--org--model/refs/refs/pr/1");
    assert_eq!(fs::read_to_string(kept).unwrap(), "b2".repeat(20));
}

#[test]
fn data_is_a_file_or_a_folder_that_is_known_to_be_whole() {
    let rows = bytes(5_000);
    let repo = Repo::new(
        "datasets/org/data",
        &[
            ("rows a.jsonl", &rows),
            ("all/1.jsonl", b"1"),
            ("all/2.jsonl", b"2"),
            ("all/x.py", b"no"),
        ],
    );
    let server = Server::start(move |request| repo.answer(request));
    let cache = tempfile::tempdir().unwrap();
    let stop = Stop::new();
    let online = hub(&server.url, cache.path());
    let pin = |text| online.pin(&name(text), &stop).unwrap();
    let one = pin("hub:datasets/org/data/rows a.jsonl");
    assert_eq!(
        fs::read(online.fetch(&one, Wanted::Data, &stop).unwrap()).unwrap(),
        rows
    );
    let all = pin("hub:datasets/org/data/all");
    let offline = offline(cache.path());
    fs::create_dir_all(offline.place(&all)).unwrap();
    assert!(offline.fetch(&all, Wanted::Data, &stop).is_err());
    let folder = online.fetch(&all, Wanted::Data, &stop).unwrap();
    assert_eq!(
        names(&folder),
        ["1.jsonl", "2.jsonl"].map(str::to_owned).into()
    );
    offline.fetch(&all, Wanted::Data, &stop).unwrap();
    offline.fetch(&one, Wanted::Data, &stop).unwrap();
    let none = pin("hub:datasets/org/data/none.jsonl");
    let error = online.fetch(&none, Wanted::Data, &stop).unwrap_err();
    assert_eq!(error.downcast_ref::<HubError>().unwrap().why, Why::NoFile);
    assert!(error.to_string().contains("it has all/1.jsonl"), "{error}");
}

#[test]
fn a_download_goes_on_where_it_was_left() {
    let weights = bytes(400_000);
    let repo = Repo::new(
        "models/org/model",
        &[("config.json", b"{}"), ("model.safetensors", &weights)],
    );
    let (sha, commit) = (sha256(&weights), repo.commit.clone());
    let server = Server::start(move |request| repo.answer(request));
    let stop = Stop::new();
    // What was left may be sound, damaged, or longer than the file.
    let mut damaged = weights[..100_000].to_vec();
    damaged[7] ^= 1;
    let longer = bytes(400_001);
    for (left, from) in [
        (&weights[..100_000], "bytes=100000-"),
        (&damaged[..], "bytes=100000-"),
        (&weights[..], ""),
        (&longer[..], ""),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let blobs = cache.path().join("models--org--model/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{sha}.incomplete")), left).unwrap();
        let before = server.requests().len();
        let pinned = name(&format!("hub:org/model@{commit}"));
        let folder = hub(&server.url, cache.path())
            .fetch(&pinned, Wanted::Model, &stop)
            .unwrap();
        assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), weights);
        let requests = server.requests();
        let mut gets = requests[before..]
            .iter()
            .filter(|it| it.is("GET", "model.safetensors"));
        let range = gets
            .next()
            .map(|get| get.header("range").unwrap_or_default().to_owned());
        assert_eq!(range.unwrap_or_default(), from);
    }
}

#[test]
fn two_at_once_fetch_a_blob_once() {
    let weights = bytes(2_000_000);
    let repo = Repo::new(
        "models/org/model",
        &[("config.json", b"{}"), ("model.safetensors", &weights)],
    );
    let commit = repo.commit.clone();
    let server = Server::start(move |request| {
        thread::sleep(std::time::Duration::from_millis(20));
        repo.answer(request)
    });
    let cache = tempfile::tempdir().unwrap();
    let pinned = name(&format!("hub:org/model@{commit}"));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let hub = hub(&server.url, cache.path());
                hub.fetch(&pinned, Wanted::Model, &Stop::new()).unwrap();
            });
        }
    });
    assert_eq!(server.count("GET", "/resolve/"), 2);
}

#[test]
fn what_a_stop_leaves_is_taken_up() {
    let weights = bytes(3_000_000);
    let repo = Repo::new(
        "models/org/model",
        &[("config.json", b"{}"), ("model.safetensors", &weights)],
    );
    let commit = repo.commit.clone();
    let stop = Stop::new();
    let asked = stop.clone();
    let server = Server::start(move |request| {
        let mut reply = repo.answer(request);
        if request.is("GET", "model.safetensors") && !asked.requested() {
            reply.cut = Some(1_000_000);
            asked.request();
        }
        reply
    });
    let cache = tempfile::tempdir().unwrap();
    let pinned = name(&format!("hub:org/model@{commit}"));
    let hub = hub(&server.url, cache.path());
    let error = hub.fetch(&pinned, Wanted::Model, &stop).unwrap_err();
    assert!(error.is::<rapport_store::Stopped>(), "{error:#}");
    hub.fetch(&pinned, Wanted::Model, &Stop::new()).unwrap();
}
