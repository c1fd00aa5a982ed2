//! Servers that answer wrongly. Nothing may hang, panic, be guessed or be lost.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rapport::judge::{Missing, Scored};
use serde_json::{Value, json};

use super::server::{Server, completion, drip, response, says};
use super::{GOOD, answers, open, score, settings};

/// What a case must come to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
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
fn check(
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

fn sends(name: &str, expected: End, reason: &str, bytes: impl Into<Vec<u8>>) {
    let bytes = bytes.into();
    check(name, expected, reason, move |stream| {
        stream.write_all(&bytes)?;
        Ok(true)
    });
}

/// As [`sends`], but closes the connection after it.
fn sends_and_closes(name: &str, expected: End, reason: &str, bytes: impl Into<Vec<u8>>) {
    let bytes = bytes.into();
    check(name, expected, reason, move |stream| {
        stream.write_all(&bytes)?;
        Ok(false)
    });
}

fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    response("200 OK", "", body)
}

fn good() -> String {
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

#[test]
fn responses_that_are_no_http() {
    use End::{Answered, Failed, Stopped};
    let length = good().len();
    let head = |length: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}",
            good()
        )
    };
    sends_and_closes("closed at once", Failed, "", "");
    sends_and_closes("no HTTP", Failed, "", "hello there\r\n\r\n");
    sends_and_closes(
        "TLS",
        Failed,
        "",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
    );
    sends_and_closes("half a head", Failed, "", "HTTP/1.1 200 OK\r\nContent-Le");
    sends_and_closes("truncated", Failed, "", head(&(length + 50).to_string()));
    sends(
        "waits for more",
        Failed,
        "timed out",
        head(&(length + 50).to_string()),
    );
    sends_and_closes("negative length", Failed, "", head("-5"));
    sends_and_closes("no number", Failed, "", head("many"));
    sends_and_closes(
        "too long a length",
        Failed,
        "",
        head("99999999999999999999999"),
    );
    sends_and_closes("a length of all memory", Failed, "", head("9999999999999"));
    sends_and_closes(
        "until the end",
        Answered,
        "",
        format!("HTTP/1.0 200 OK\r\n\r\n{}", good()),
    );
    let chunked =
        |chunks: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let chunks = format!(
        "5;x=y\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &good()[..5],
        length - 5,
        &good()[5..]
    );
    sends("chunked", Answered, "", chunked(&chunks));
    sends_and_closes(
        "chunks end early",
        Failed,
        "",
        chunked(&chunks[..chunks.len() - 40]),
    );
    sends_and_closes(
        "odd chunk size",
        Failed,
        "",
        chunked("zz\r\nhello\r\n0\r\n\r\n"),
    );
    sends_and_closes(
        "huge chunk size",
        Failed,
        "",
        chunked("ffffffffffffffffff\r\nhello"),
    );
    sends(
        "status 99",
        Failed,
        "",
        "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    );
    sends(
        "status 999",
        Stopped,
        "HTTP 999",
        "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    );
    sends(
        "status of letters",
        Failed,
        "",
        "HTTP/1.1 two Odd\r\nContent-Length: 0\r\n\r\n",
    );
    sends(
        "early hints",
        Answered,
        "",
        [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), ok(good())].concat(),
    );
    sends(
        "more than the length",
        Answered,
        "",
        [ok(good()), b"and more".to_vec()].concat(),
    );
    sends(
        "two answers",
        Answered,
        "",
        [ok(good()), ok(good())].concat(),
    );
    let odd = "X-Odd: \u{e9}\u{0}\r\n";
    sends_and_closes("an odd header", Failed, "", response("200 OK", odd, good()));
    sends(
        "an odd Retry-After",
        Failed,
        "HTTP 429",
        response("429 Busy", "Retry-After: \u{e9}\r\n", ""),
    );
    // What gzip makes of nothing; the length is that of what is sent.
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    sends(
        "gzip of nothing",
        Failed,
        "empty",
        response("200 OK", "Content-Encoding: gzip\r\n", gzip),
    );
    sends(
        "no gzip",
        Failed,
        "",
        response("200 OK", "Content-Encoding: gzip\r\n", good()),
    );
    sends(
        "unknown encoding",
        Answered,
        "",
        response("200 OK", "Content-Encoding: x\r\n", good()),
    );
    sends(
        "unauthorised in chunks",
        Stopped,
        "api_key_env",
        "HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\nno access",
    );
}

#[test]
fn servers_that_never_end() {
    use End::Failed;
    check("silence", Failed, "timed out", |_| {
        std::thread::sleep(Duration::from_secs(3));
        Ok(false)
    });
    check("a dripping head", Failed, "timed out", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
        drip(stream, b"x")
    });
    check("dripping headers", Failed, "", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        drip(stream, b"X: y\r\n")
    });
    check("a dripping body", Failed, "timed out", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{\"choices\":")?;
        drip(stream, b" ")
    });
    check("dripping chunks", Failed, "timed out", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        drip(stream, b"1\r\n \r\n")
    });
    check("dripping hints", Failed, "", |stream| {
        drip(stream, b"HTTP/1.1 100 Continue\r\n\r\n")
    });
    check("a flood of hints", Failed, "", |stream| {
        loop {
            stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n")?;
        }
    });
    check("a flood of headers", Failed, "", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-Header: of no use to anyone\r\n")?;
        }
    });
    check("a flood", Failed, "larger than", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(&[b'{'; 1 << 14])?;
        }
    });
    check("a large answer", Failed, "larger than", |stream| {
        let body = completion(&"x".repeat(1 << 17)).to_string();
        stream.write_all(&response("200 OK", "", body))?;
        Ok(true)
    });
    check("an error without end", Failed, "HTTP 500", |stream| {
        stream.write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 60000\r\n\r\n")?;
        drip(stream, b"x")
    });
}

#[test]
fn a_connection_closed_between_requests_is_opened_again() {
    // The server says that it keeps the connection, and does not.
    let server = Server::start(|_, stream| {
        stream.write_all(&response("200 OK", "Connection: keep-alive\r\n", good()))?;
        Ok(false)
    });
    let folder = tempfile::tempdir().unwrap();
    let scored = score(&open(folder.path(), settings(&server.url)), 10).unwrap();
    assert_eq!(scored.counts.answered, 10, "{}", scored.counts);
}

/// Good responses with bytes changed, cut out and put in: whatever comes, it ends, and well.
#[test]
fn any_damage_is_survived() {
    use rand::{Rng as _, SeedableRng as _};
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        good().len(),
        good()
    );
    let server = Server::start(move |request, stream| {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(request.number as u64);
        let mut bytes = match rng.random_bool(0.5) {
            true => ok(good()),
            false => chunked.clone().into_bytes(),
        };
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, *b"\r\n0{}\xff:;".get(rng.random_range(0..8)).unwrap()),
                _ => {
                    let end = rng.random_range(at..bytes.len().min(at + 9));
                    bytes.drain(at..end);
                }
            }
        }
        stream.write_all(&bytes)?;
        Ok(false)
    });
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.url);
    settings.limits.concurrency = 8;
    settings.limits.max_retries = 0;
    settings.limits.max_failures = usize::MAX;
    settings.limits.timeout = Duration::from_millis(400);
    let judge = open(folder.path(), settings);
    let (mut answered, mut asked) = (0, 0);
    while asked < 400 {
        // A status of 3xx or 4xx made by chance ends one call; the next goes on.
        if let Ok(scored) = score(&judge, 400) {
            answered += scored.counts.answered;
            let valid = scored.scores.iter().flatten();
            assert!(
                valid
                    .flat_map(|scores| scores.values())
                    .all(|score| (1.0..=10.0).contains(score))
            );
            assert_eq!(scored.counts.questions, 400);
        }
        asked = server.count();
    }
    assert!(answered > 0);
}
