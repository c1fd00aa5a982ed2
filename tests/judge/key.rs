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

/// The key as the server was told it.
fn told(request: &Request) -> String {
    let mut lines = request.head.lines();
    let line = lines.find(|line| line.to_lowercase().starts_with("authorization"));
    line.unwrap().split_once("Bearer ").unwrap().1.to_owned()
}

/// A response that promises more than comes.
fn cut(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 50000\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

#[test]
fn no_spelling_of_the_key_and_no_piece_of_it_is_kept_or_told() {
    let error = |text: &str| format!(r#"{{"error":{{"message":"bad key {text}"}}}}"#);
    let json = |key: &str| -> String {
        let letters = key.bytes().map(|byte| format!("\\u{byte:04x}"));
        letters.collect()
    };
    type Answer = Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>;
    let answers: Vec<Answer> = vec![
        Box::new(move |key| response("401 No", "", error(&key.replace('/', "\\/")))),
        Box::new(move |key| response("401 No", "", error(&json(key)))),
        Box::new(move |key| {
            response(
                "400 No",
                "",
                error(&key.replace('/', "%2F").replace(':', "%3A")),
            )
        }),
        Box::new(move |key| response(&format!("401 bad {key}"), "", String::new())),
        Box::new(move |key| {
            let to = format!("Location: http://127.0.0.1:1/v1?key={key}\r\n");
            response("302 Found", &to, String::new())
        }),
        Box::new(move |key| says(&format!("your key is {}", json(key)))),
        Box::new(move |key| {
            let (half, rest) = key.split_at(key.len() / 2);
            let content =
                format!(r#"[{{"type":"text","text":"{half}"}},{{"type":"text","text":"{rest}"}}]"#);
            let body = format!(r#"{{"choices":[{{"message":{{"content":{content}}}}}]}}"#);
            response("200 OK", "", body)
        }),
        Box::new(move |key| cut("200 OK", &error(key)[..20 + key.len()])),
        Box::new(move |key| cut("401 No", &error(&json(key))[..30 + key.len()])),
        // Longer than may be read: the end lies within the key.
        Box::new(move |key| {
            let room = (1 << 16) - 50;
            response("401 No", "", error(&format!("{}{key}", "x".repeat(room))))
        }),
        Box::new(move |key| format!("HTTP/1.1 200 OK\r\nX-Key {key}\r\n\r\n{{}}").into_bytes()),
        Box::new(move |key| format!("key is {key}\r\n\r\n").into_bytes()),
    ];
    let key = std::env::var(KEY).unwrap().trim().to_owned();
    for (at, answer) in answers.into_iter().enumerate() {
        let server = Server::start(move |request, stream| {
            std::io::Write::write_all(stream, &answer(&told(request)))?;
            Ok(false)
        });
        let folder = tempfile::tempdir().unwrap();
        let keyed = EndpointSettings {
            api_key_env: Some(KEY.into()),
            ..settings(&server.url)
        };
        let shown = match score(&open(folder.path(), keyed), 1) {
            Ok(scored) => format!("{scored:?}"),
            Err(error) => format!("{error:#}"),
        };
        let kept = everything(folder.path()).replace(&folder.path().display().to_string(), "");
        for text in [shown, kept] {
            let plain = text.replace("\\/", "/").to_lowercase();
            let pieces = key.as_bytes().windows(8).map(String::from_utf8_lossy);
            for piece in pieces {
                assert!(
                    !plain.contains(&piece.to_lowercase()),
                    "{at}: {piece} in {text}"
                );
            }
            let escaped = json(&key[..4]).replace("\\u", "");
            assert!(!plain.replace("\\u", "").contains(&escaped), "{at}: {text}");
        }
    }
}

#[test]
fn what_a_server_says_acts_on_no_terminal_and_is_short() {
    let body = format!(
        "{{\"error\":{{\"message\":\"\\u001b]0;x\\u0007\\u009b2J{}\"}}}}",
        "long ".repeat(9_000)
    );
    let server = Server::replying(move |_| response("401 No", "", body.clone()));
    let folder = tempfile::tempdir().unwrap();
    let error = score(&open(folder.path(), settings(&server.url)), 1).unwrap_err();
    let error = format!("{error:#}");
    assert!(!error.contains(char::is_control), "{error:?}");
    assert!(error.len() < 1_000, "{error}");
}

#[test]
fn a_redirect_leads_nowhere() {
    let other = Server::replying(|_| says(GOOD));
    for status in [
        "301 LogRatio",
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
