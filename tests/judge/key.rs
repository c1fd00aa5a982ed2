//! The key goes to one server and to no file, message or other host.

use std::path::Path;

use rapport::judge::{Endpoint, EndpointSettings, Missing, Place};
use rapport::store::Stop;

use super::server::{Request, Server, response, says};
use super::{GOOD, open, score, settings};

/// All that is kept in a folder, as one text.
fn everything(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        text += &match path.is_dir() {
            true => everything(&path),
            false => String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
        };
    }
    text
}

/// `PATH` stands in for a variable with a key: it is set wherever tests run, and tests must not set variables
/// while others run.
const KEY: &str = "PATH";

#[test]
fn the_key_is_sent_to_the_server_and_told_to_nobody() {
    let key = std::env::var(KEY).unwrap();
    let echo = move |request: &Request| {
        let line = request
            .head
            .lines()
            .find(|line| line.to_lowercase().starts_with("authorization"));
        let told = line
            .and_then(|line| line.split_once("Bearer "))
            .unwrap()
            .1
            .to_owned();
        match request.number {
            0 => response("500 Oops", "", format!("cannot use {told}")),
            1 => says(&format!("your key is {told}")),
            _ => response(
                "401 No",
                "",
                format!(r#"{{"error":{{"message":"bad key {told}"}}}}"#),
            ),
        }
    };
    let server = Server::replying(echo);
    let folder = tempfile::tempdir().unwrap();
    let keyed = EndpointSettings {
        api_key_env: Some(KEY.into()),
        ..settings(&server.url)
    };
    let judge = open(folder.path(), keyed.clone());
    let first = score(&judge, 1).unwrap();
    let Err(Missing::Unparsable(reason)) = &first.scores[0] else {
        panic!("{first:?}");
    };
    let error = format!("{:#}", score(&judge, 2).unwrap_err());
    assert!(error.contains("bad key [api key]"), "{error}");
    let kept = everything(folder.path());
    assert!(kept.contains("your key is [api key]"));
    for text in [&kept, &error, reason] {
        assert!(!text.contains(key.trim()));
    }
    let missing = EndpointSettings {
        api_key_env: Some("RAPPORT_NO_SUCH_KEY".into()),
        ..keyed
    };
    let place = Place {
        answers: folder.path().join("a.jsonl"),
        cache: folder.path().join("c"),
        label: String::new(),
        stop: Stop::new(),
    };
    let error = Endpoint::open(missing, place).err().unwrap();
    let error = format!("{error:#}");
    assert!(error.contains("RAPPORT_NO_SUCH_KEY is not set"), "{error}");
}

#[test]
fn a_redirect_leads_nowhere() {
    let other = Server::replying(|_| says(GOOD));
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let to = format!("Location: {}/chat/completions\r\n", other.url);
        let server = Server::replying(move |_| response(status, &to, ""));
        let folder = tempfile::tempdir().unwrap();
        let keyed = EndpointSettings {
            api_key_env: Some(KEY.into()),
            ..settings(&server.url)
        };
        let error = score(&open(folder.path(), keyed), 1).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("set base_url to the final address"),
            "{error}"
        );
        assert!(error.contains(&other.url), "{error}");
    }
    assert_eq!(other.count(), 0);
}
