//! Servers whose bytes are wrong, or never end.

use std::io::Write as _;
use std::time::Duration;

use super::misbehaviour::{End, check, good, ok, sends, sends_and_closes};
use super::server::{Server, completion, drip, response, says};
use super::{open, score, settings};

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
    assert_eq!((scored.counts.answered, scored.counts.requests), (10, 10));
}

#[test]
fn an_answer_sent_twice_is_not_taken_for_the_next_one() {
    let server = Server::start(|request, stream| {
        let number = 1 + request.number % 9;
        let said = says(&format!("adherence: {number}, naturalness: {number}"));
        stream.write_all(&said)?;
        std::thread::sleep(Duration::from_millis(30));
        stream.write_all(&said)?;
        Ok(true)
    });
    let folder = tempfile::tempdir().unwrap();
    let scored = score(&open(folder.path(), settings(&server.url)), 5).unwrap();
    let given = scored.scores.iter().flatten();
    let given: Vec<f64> = given.map(|scores| scores["adherence"]).collect();
    assert_eq!(given, [1.0, 2.0, 3.0, 4.0, 5.0]);
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
    let mut settings = settings(&server.url);
    settings.limits.concurrency = 8;
    settings.limits.max_retries = 0;
    settings.limits.max_failures = usize::MAX;
    settings.limits.timeout = Duration::from_millis(400);
    let mut answered = 0;
    while server.count() < 400 {
        let folder = tempfile::tempdir().unwrap();
        // A status of 3xx or 4xx made by chance ends one call; the next goes on.
        if let Ok(scored) = score(&open(folder.path(), settings.clone()), 40) {
            answered += scored.counts.answered;
            let valid = scored.scores.iter().flatten();
            assert!(
                valid
                    .flat_map(|scores| scores.values())
                    .all(|score| (1.0..=10.0).contains(score))
            );
            assert_eq!(scored.counts.questions, 40);
        }
    }
    assert!(answered > 0);
}
