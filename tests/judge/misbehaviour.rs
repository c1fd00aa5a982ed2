//! Servers whose answers are wrong. Nothing may hang, panic, be guessed or be lost.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rapport::judge::{Missing, Scored};
use serde_json::{Value, json};

use super::server::{Server, completion, response, says};
use super::{GOOD, answers, open, score, settings};

/// What a case must come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Answered,
    Unparsable,
    Failed,
    /// An error that ends all asking.
    Stopped,
}

fn end(scored: &anyhow::Result<Scored>) -> (End, String) {
    match scored {
        Err(error) => (End::Stopped, format!("{error:#}")),
        Ok(scored) => match &scored.scores[0] {
            Ok(scores) => {
                assert_eq!((scores["adherence"], scores["naturalness"]), (8.0, 3.0));
                (End::Answered, String::new())
            }
            Err(Missing::Unparsable(reason)) => (End::Unparsable, reason.clone()),
            Err(Missing::Failed(reason)) => (End::Failed, reason.clone()),
            Err(other) => panic!("{other}"),
        },
    }
}

/// Asks once whatever the server does, and checks that what it does after that is not spoiled by it.
pub(super) fn check(
    name: &str,
    expected: End,
    reason: &str,
    answer: impl Fn(&mut TcpStream) -> std::io::Result<bool> + Send + Sync + 'static,
) {
    // The second reply is a good one, whatever came first.
    let server = Server::start(move |request, stream| {
        if request.question().contains("r0") {
            return answer(stream);
        }
        stream.write_all(&says(GOOD))?;
        Ok(true)
    });
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.url);
    settings.limits.max_retries = 1;
    settings.limits.timeout = Duration::from_millis(700);
    let judge = open(folder.path(), settings);
    let started = Instant::now();
    let scored = score(&judge, 2);
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{name}: {:?}",
        started.elapsed()
    );
    let (found, told) = end(&scored);
    assert_eq!(found, expected, "{name}: {told}");
    assert!(told.contains(reason), "{name}: {told}");
    if let Ok(scored) = &scored {
        assert!(scored.scores[1].is_ok(), "{name}: {:?}", scored.scores[1]);
        let counts = scored.counts;
        let sum = counts.answered + counts.unparsable + counts.failed + counts.over_budget;
        assert_eq!((counts.questions, sum), (2, 2), "{name}");
    }
    let kept = answers(folder.path());
    assert!(!kept.is_empty(), "{name}: no raw answer was kept");
}

pub(super) fn sends(name: &str, expected: End, reason: &str, bytes: impl Into<Vec<u8>>) {
    let bytes = bytes.into();
    check(name, expected, reason, move |stream| {
        stream.write_all(&bytes)?;
        Ok(true)
    });
}

/// As [`sends`], but closes the connection after it.
pub(super) fn sends_and_closes(name: &str, expected: End, reason: &str, bytes: impl Into<Vec<u8>>) {
    let bytes = bytes.into();
    check(name, expected, reason, move |stream| {
        stream.write_all(&bytes)?;
        Ok(false)
    });
}

pub(super) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    response("200 OK", "", body)
}

pub(super) fn good() -> String {
    completion(GOOD).to_string()
}

fn with_message(message: Value) -> String {
    json!({"choices": [{"message": message}]}).to_string()
}

#[test]
fn bodies_that_are_no_completion() {
    use End::{Answered, Failed, Unparsable};
    sends(
        "malformed",
        Failed,
        "no chat completion",
        ok("{\"choices\": [{]"),
    );
    sends("half", Failed, "EOF", ok(&good()[..60]));
    sends("empty", Failed, "empty", ok(""));
    sends(
        "nothing at all",
        Failed,
        "empty",
        "HTTP/1.1 204 No Content\r\n\r\n",
    );
    sends("no choices", Failed, "no message", ok(r#"{"choices": []}"#));
    sends("null", Failed, "not a JSON object", ok("null"));
    sends(
        "a stream",
        Failed,
        "not a JSON object",
        ok(format!("data: {}\n\ndata: [DONE]\n", good())),
    );
    sends(
        "two objects",
        Failed,
        "trailing",
        ok(format!("{0}{0}", good())),
    );
    sends(
        "twice",
        Failed,
        "duplicate",
        ok(good().replacen('{', "{\"choices\":[],", 1)),
    );
    sends(
        "an error",
        Failed,
        "overloaded",
        ok(r#"{"error": {"message": "overloaded"}}"#),
    );
    let deep = format!("{{\"usage\":{}", "[".repeat(60_000));
    sends("deep", Failed, "recursion", ok(deep));
    sends("utf-16", Failed, "not a JSON object", ok(b"\xff\xfe{\0}\0"));
    let broken = good()
        .replace("adherence", "adh\u{1}ence")
        .replace('\u{1}', "\0");
    sends(
        "control characters",
        Failed,
        "no chat completion",
        ok(broken),
    );
    let mut invalid = good().into_bytes();
    let at = invalid.len() / 2;
    invalid[at] = 0xff;
    sends("invalid UTF-8", Failed, "no chat completion", ok(invalid));
    sends("a mark", Answered, "", ok(format!("\u{feff}{}", good())));
    let html =
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>hm</html>";
    sends("html", Failed, "<html>", html);
    let mistyped = String::from_utf8(ok(good()))
        .unwrap()
        .replace("application/json", "text/html; charset=x");
    sends("wrong type", Answered, "", mistyped);
    sends(
        "null content",
        Unparsable,
        "no text",
        ok(with_message(json!({"content": null}))),
    );
    sends(
        "no content",
        Unparsable,
        "no text",
        ok(with_message(json!({}))),
    );
    let refusal = json!({"content": null, "refusal": "I will not."});
    sends(
        "refusal",
        Unparsable,
        "I will not.",
        ok(with_message(refusal)),
    );
    let parts = json!({"content": [{"type": "text", "text": GOOD}]});
    sends("parts", Answered, "", ok(with_message(parts)));
    sends(
        "no usage",
        Answered,
        "",
        ok(with_message(json!({"content": GOOD}))),
    );
    for usage in [
        "null",
        "7",
        "[]",
        r#"{"total_tokens": "many"}"#,
        r#"{"total_tokens": -1}"#,
    ] {
        let body = good().replace(r#""usage":{"#, &format!(r#""usage":{usage},"spare":{{"#));
        sends(usage, Answered, "", ok(body));
    }
}

#[test]
fn texts_that_are_no_verdict() {
    use End::{Answered, Unparsable};
    let text = |text: &str| ok(completion(text).to_string());
    for (said, expected, reason) in [
        (
            "I am sorry, I cannot help with that.",
            Unparsable,
            "no score",
        ),
        (
            r#"{"adherence": 8}"#,
            Unparsable,
            "no score for naturalness",
        ),
        (
            r#"{"adherence": 80, "naturalness": 3}"#,
            Unparsable,
            "not within",
        ),
        (
            r#"{"adherence": 0, "naturalness": 3}"#,
            Unparsable,
            "not within",
        ),
        (r#"{"adherence": "8", "naturalness": "3/10"}"#, Answered, ""),
        (
            r#"{"adherence": 8, "adherence": 2, "naturalness": 3}"#,
            Unparsable,
            "both 8 and 2",
        ),
        (
            r#"{"adherence": "good", "naturalness": 3}"#,
            Unparsable,
            "no number",
        ),
        (
            "```json\n{\"adherence\": 8, \"naturalness\": 3}\n```",
            Answered,
            "",
        ),
        ("adherence: 8\nnaturalness: 3/10", Answered, ""),
        (
            "adherence: 8 or 9\nnaturalness: 3",
            Unparsable,
            "followed by",
        ),
        (
            "<think>adherence: 1, naturalness: 1</think>adherence: 8, naturalness: 3",
            Answered,
            "",
        ),
        ("", Unparsable, "no text"),
    ] {
        sends(said, expected, reason, text(said));
    }
    let cut = completion("adherence: 8\nnaturalness: 3")
        .to_string()
        .replace("stop", "length");
    sends("cut off", Unparsable, "cut off", ok(cut));
    let long = format!("{}{GOOD}", " ".repeat(40_000));
    sends("long but good", Answered, "", text(&long));
}
