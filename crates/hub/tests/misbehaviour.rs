//! A hub that misbehaves: what may pass is tried again, the rest ends soon, in a message without the token.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rapport_hub::{HubError, Wanted, Why};
use rapport_store::Stop;

use super::server::{Reply, Repo, Request, Server, ranged, sha256};
use super::{TOKEN, bytes, hub, name};

fn repo() -> Repo {
    let weights = bytes(60_000);
    Repo::new(
        "models/org/model",
        &[
            ("config.json", b"{}"),
            ("tokenizer.json", b"{}"),
            ("model.safetensors", &weights),
        ],
    )
}

/// What comes of fetching a model from a hub with such answers: nothing, or the error's kind and text. What is in the cache
/// afterwards is whole.
fn tried(
    answer: impl Fn(&Request, &Repo) -> Reply + Send + Sync + 'static,
) -> Result<Server, (Why, String)> {
    let repo = repo();
    let served = repo.clone();
    let server = Server::start(move |request| answer(request, &served));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server.url, cache.path());
    let stop = Stop::new();
    let start = Instant::now();
    let done = hub
        .pin(&name("hub:org/model@main"), &stop)
        .and_then(|pinned| hub.fetch(&pinned, Wanted::Model, &stop));
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
    let snapshot = cache
        .path()
        .join("models--org--model/snapshots")
        .join(&repo.commit);
    for (file, content) in &repo.files {
        if let Ok(kept) = fs::read(snapshot.join(file)) {
            assert_eq!(&kept, content, "{file}");
        }
    }
    assert!(!everything(cache.path()).contains(TOKEN));
    match done {
        Ok(_) => Ok(server),
        Err(error) => {
            let text = format!("{error:#}");
            assert!(
                !text.contains(TOKEN) && !text.contains("Signature"),
                "{text}"
            );
            assert!(
                text.len() < 1_000 && !text.contains(char::is_control),
                "{text:?}"
            );
            Err((error.downcast_ref::<HubError>().unwrap().why, text))
        }
    }
}

fn everything(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        text += &path.display().to_string();
        text += &match path.is_dir() {
            true => everything(&path),
            false => String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
        };
    }
    text
}

/// Whether it is the request for the weights.
fn weights(request: &Request) -> bool {
    request.is("GET", "model.safetensors")
}

#[test]
fn what_passes_is_tried_again() {
    type Answer = fn(&Repo, &Request) -> Reply;
    let answers: [(&str, Answer); 7] = [
        ("429", |_, _| {
            Reply::new("429 Too Many Requests", "").with("Retry-After", "0")
        }),
        ("503", |_, _| Reply::new("503 Service Unavailable", "busy")),
        ("cut", |repo, request| Reply {
            cut: Some(100),
            ..repo.answer(request)
        }),
        ("cut at once", |repo, request| Reply {
            cut: Some(0),
            ..repo.answer(request)
        }),
        ("not what its etag says", |repo, request| {
            let mut reply = repo.answer(request);
            if let Some(byte) = reply.body.last_mut() {
                *byte ^= 1;
            }
            reply
        }),
        ("shorter", |repo, request| {
            let mut reply = repo.answer(request);
            reply.body.pop();
            reply
        }),
        ("longer", |repo, request| {
            let mut reply = repo.answer(request);
            reply.body.push(0);
            reply
        }),
    ];
    for (what, answer) in answers {
        let first = std::sync::atomic::AtomicBool::new(true);
        let done = tried(move |request, repo| {
            match weights(request) && first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                true => answer(repo, request),
                false => repo.answer(request),
            }
        });
        let server = done.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(server.count("GET", "model.safetensors"), 2, "{what}");
    }
}

#[test]
fn what_stays_ends_in_an_error_that_says_what_to_do() {
    type Answer = Box<dyn Fn(&Request, &Repo) -> Reply + Send + Sync>;
    let info = |request: &Request| request.is("GET", "/api/");
    let told = |request: &Request| {
        request
            .header("authorization")
            .unwrap_or_default()
            .to_owned()
    };
    let cases: Vec<(&str, Answer, Why, &str)> = vec![
        (
            "401",
            Box::new(move |request, _| {
                let body = format!("{{\"error\": \"Invalid \\u001b[31m {}\"}}", told(request));
                Reply::new("401 Unauthorized", body)
            }),
            Why::Denied,
            "HF_TOKEN",
        ),
        (
            "gated",
            Box::new(|_, _| {
                Reply::new("403 Forbidden", "")
                    .with("X-Error-Code", "GatedRepo")
                    .with("X-Error-Message", "ask first")
            }),
            Why::Denied,
            "accepted its terms",
        ),
        (
            "gated file",
            Box::new(move |request, repo| match info(request) {
                true => repo.answer(request),
                false => Reply::new("401 Unauthorized", "").with("X-Error-Code", "GatedRepo"),
            }),
            Why::Denied,
            "accepted its terms",
        ),
        (
            "no repository",
            Box::new(|_, _| Reply::new("404 Not Found", "").with("X-Error-Code", "RepoNotFound")),
            Why::NoRepo,
            "no such repository",
        ),
        (
            "no revision",
            Box::new(|_, _| {
                Reply::new("404 Not Found", "").with("X-Error-Code", "RevisionNotFound")
            }),
            Why::NoRevision,
            "no such revision",
        ),
        (
            "no file",
            Box::new(move |request, repo| match info(request) {
                true => repo.answer(request),
                false => Reply::new("404 Not Found", "").with("X-Error-Code", "EntryNotFound"),
            }),
            Why::NoFile,
            "no such file",
        ),
        (
            "429 for ever",
            Box::new(|_, _| Reply::new("429 Too Many Requests", "").with("Retry-After", "0")),
            Why::Unreachable,
            "429",
        ),
        (
            "500 for ever",
            Box::new(|_, _| Reply::new("500 Oops", "")),
            Why::Unreachable,
            "500",
        ),
        (
            "no JSON",
            Box::new(|_, _| Reply::new("200 OK", "<html>")),
            Why::Wrong,
            "no such JSON",
        ),
        (
            "no commit",
            Box::new(|_, _| Reply::new("200 OK", "{\"sha\": \"main\"}")),
            Why::Wrong,
            "which commit",
        ),
        (
            "deep JSON",
            Box::new(|_, _| Reply::new("200 OK", "[".repeat(100_000))),
            Why::Wrong,
            "no such JSON",
        ),
        (
            "endless JSON",
            Box::new(|_, _| Reply {
                endless: true,
                ..Reply::new("200 OK", vec![b'['; 1 << 20])
            }),
            Why::Wrong,
            "more than can be read",
        ),
        (
            "a JSON that drips",
            Box::new(|_, _| Reply {
                drips: true,
                ..Reply::new("200 OK", "[").with("Content-Length", "100000")
            }),
            Why::Unreachable,
            "next to nothing",
        ),
        (
            "another commit",
            Box::new(move |request, repo| match info(request) {
                true => repo.answer(request),
                false => repo.answer(request).with("X-Repo-Commit", "d".repeat(40)),
            }),
            Why::Wrong,
            "answers for commit",
        ),
        (
            "no etag",
            Box::new(move |request, repo| {
                let mut reply = repo.answer(request);
                reply.headers.retain(|(name, _)| *name != "ETag");
                reply
            }),
            Why::Wrong,
            "no ETag",
        ),
        (
            "an etag that leads elsewhere",
            Box::new(move |request, repo| match info(request) {
                true => repo.answer(request),
                false => repo.answer(request).with("ETag", "\"../../../x\""),
            }),
            Why::Wrong,
            "names no file",
        ),
        (
            "cut for ever",
            Box::new(move |request, repo| match weights(request) {
                true => Reply {
                    cut: Some(10),
                    ..repo.answer(request)
                },
                false => repo.answer(request),
            }),
            Why::Unreachable,
            "did not answer",
        ),
        (
            "another size for ever",
            Box::new(
                move |request, repo| match request.is("HEAD", "model.safetensors") {
                    true => repo.answer(request).with("X-Linked-Size", "59999"),
                    false => repo.answer(request),
                },
            ),
            Why::Wrong,
            "59999 bytes were announced",
        ),
        (
            "another content for ever",
            Box::new(
                move |request, repo| match request.path.contains("model.safetensors") {
                    true => repo
                        .answer(request)
                        .with("ETag", format!("\"{}\"", sha256(b"other"))),
                    false => repo.answer(request),
                },
            ),
            Why::Wrong,
            "not what its etag",
        ),
        (
            "endless weights",
            Box::new(move |request, repo| match weights(request) {
                true => Reply {
                    endless: true,
                    ..Reply::new("200 OK", bytes(1 << 16))
                },
                false => repo.answer(request),
            }),
            Why::Wrong,
            "more than 60000 bytes",
        ),
        (
            "weights that drip",
            Box::new(move |request, repo| match weights(request) {
                true => Reply {
                    drips: true,
                    ..repo.answer(request)
                },
                false => repo.answer(request),
            }),
            Why::Unreachable,
            "next to nothing",
        ),
        (
            "a part that was not asked for",
            Box::new(move |request, repo| match weights(request) {
                true if request.header("range").is_some() => repo
                    .answer(request)
                    .with("Content-Range", "bytes 0-59999/60000"),
                true => Reply {
                    cut: Some(10),
                    ..repo.answer(request)
                },
                false => repo.answer(request),
            }),
            Why::Unreachable,
            "did not answer",
        ),
        (
            "a circle",
            Box::new(|request, _| {
                Reply::new("302 Found", "").with("Location", request.path.clone())
            }),
            Why::Wrong,
            "in a circle",
        ),
        (
            "nowhere",
            Box::new(|_, _| Reply::new("302 Found", "").with("Location", "ftp://x/y")),
            Why::Wrong,
            "no address",
        ),
        (
            "files that lead elsewhere",
            Box::new(move |request, repo| match info(request) {
                true => {
                    let files = [
                        "config.json",
                        "../../../x",
                        "/etc/x",
                        "model.safetensors.index.json",
                    ];
                    let files: Vec<_> = files
                        .iter()
                        .map(|file| serde_json::json!({"rfilename": file}))
                        .collect();
                    Reply::new(
                        "200 OK",
                        serde_json::json!({"sha": repo.commit, "siblings": files}).to_string(),
                    )
                }
                false if request.path.ends_with("index.json") => {
                    let index = br#"{"weight_map": {"a": "../../x.safetensors"}}"#;
                    ranged(request, index).with("ETag", "x")
                }
                false => repo.answer(request),
            }),
            Why::Wrong,
            "within its repository",
        ),
    ];
    for (what, answer, why, expected) in cases {
        let (found, text) = tried(answer)
            .err()
            .unwrap_or_else(|| panic!("{what} passes"));
        assert!(text.contains(expected), "{what}: {text}");
        assert_eq!(found, why, "{what}: {text}");
    }
}

#[test]
fn another_host_is_told_nothing_even_where_the_hub_says_so() {
    let other = Server::start(|request| Reply::new("200 OK", format!("{request:?}")));
    let to = other.url.clone();
    let (_, text) = tried(move |request, _| {
        Reply::new("307 Temporary Redirect", "").with("Location", format!("{to}{}", request.path))
    })
    .err()
    .unwrap();
    assert!(text.contains("another host answers"), "{text}");
    for request in other.requests() {
        assert_eq!(request.header("authorization"), None);
    }
    // Nor is one whose address merely begins as the hub's does, or that is asked by name.
    let server = tried(move |request, repo| match request.path.contains("/moved") {
        false if request.path.contains("/resolve/") => {
            let to = format!("/moved{}", request.path);
            Reply::new("307 Temporary Redirect", "").with("Location", to)
        }
        _ => {
            let request = Request {
                path: request.path.replace("/moved", ""),
                ..request.clone()
            };
            repo.answer(&request)
        }
    })
    .unwrap();
    for request in server.requests() {
        assert!(
            request.header("authorization").is_some(),
            "{}",
            request.path
        );
    }
}

#[test]
fn a_hub_that_is_not_there_is_said() {
    let cache = tempfile::tempdir().unwrap();
    let hub = hub("http://127.0.0.1:1", cache.path());
    let error = hub.pin(&name("hub:org/model"), &Stop::new()).unwrap_err();
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
    assert_eq!(
        error.downcast_ref::<HubError>().unwrap().why,
        Why::Unreachable
    );
}
