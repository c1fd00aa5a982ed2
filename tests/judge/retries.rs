//! When a request is sent again, and when no more.

use std::time::{Duration, Instant};

use rapport::judge::{Judge as _, Missing};

use super::server::{Server, response, says};
use super::{GOOD, answers, open, score, settings};

#[test]
fn a_passing_failure_is_waited_out() {
    for status in [408, 409, 425, 429, 500, 502, 503, 504, 529] {
        let server = Server::replying(move |request| match request.number {
            0 | 1 => response(&format!("{status} Not Now"), "", "busy"),
            _ => says(GOOD),
        });
        let folder = tempfile::tempdir().unwrap();
        let scored = score(&open(folder.path(), settings(&server.url)), 2).unwrap();
        assert_eq!(
            (scored.counts.answered, scored.counts.requests),
            (2, 4),
            "{status}"
        );
        let kept = answers(folder.path());
        assert_eq!(kept[0]["status"], status);
        assert_eq!(
            (&kept[1]["attempt"], &kept[1]["body"]),
            (&2.into(), &"busy".into())
        );
    }
}

#[test]
fn retry_after_is_obeyed_up_to_the_longest_wait() {
    let in_a_second = || {
        // Whole seconds only: between one and two from now.
        httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(2))
    };
    type Header = Box<dyn Fn() -> String + Send + Sync>;
    let cases: [(Header, Duration, Duration); 6] = [
        (
            Box::new(|| "1".into()),
            Duration::from_secs(1),
            Duration::from_secs(2),
        ),
        (
            Box::new(in_a_second),
            Duration::from_secs(1),
            Duration::from_secs(3),
        ),
        (
            Box::new(|| "999999999999".into()),
            Duration::from_secs(2),
            Duration::from_secs(4),
        ),
        (
            Box::new(|| "Fri, 31 Dec 9999 23:59:59 GMT".into()),
            Duration::from_secs(2),
            Duration::from_secs(4),
        ),
        (
            Box::new(|| "-30".into()),
            Duration::ZERO,
            Duration::from_secs(1),
        ),
        (
            Box::new(|| "Mon, 01 Jan 1990 00:00:00 GMT".into()),
            Duration::ZERO,
            Duration::from_secs(1),
        ),
    ];
    for (header, least, most) in cases {
        let told = header();
        let server = Server::replying(move |request| match request.number {
            0 => response("429 Busy", &format!("Retry-After: {}\r\n", header()), ""),
            _ => says(GOOD),
        });
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&server.url);
        settings.limits.longest_wait = Duration::from_secs(2);
        let judge = open(folder.path(), settings);
        let started = Instant::now();
        assert_eq!(score(&judge, 1).unwrap().counts.answered, 1);
        let took = started.elapsed();
        assert!((least..most).contains(&took), "{told}: {took:?}");
    }
}

#[test]
fn a_busy_server_is_left_alone_by_all_threads() {
    let server = Server::replying(|request| match request.number {
        0 => response("429 Busy", "Retry-After: 1\r\n", ""),
        _ => {
            std::thread::sleep(Duration::from_millis(20));
            says(GOOD)
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.url);
    settings.limits.concurrency = 2;
    settings.limits.longest_wait = Duration::from_secs(2);
    let judge = open(folder.path(), settings);
    let started = Instant::now();
    assert_eq!(score(&judge, 6).unwrap().counts.answered, 6);
    // Of the other thread's requests, at most those sent before the answer came are outside the pause.
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn what_fails_for_ever_is_counted_and_the_rest_is_answered() {
    let server = Server::replying(|request| match request.question().contains("r1") {
        true => response("500 Oops", "", "always"),
        false => says(GOOD),
    });
    let folder = tempfile::tempdir().unwrap();
    let judge = open(folder.path(), settings(&server.url));
    let scored = score(&judge, 3).unwrap();
    let Err(Missing::Failed(reason)) = &scored.scores[1] else {
        panic!("{scored:?}");
    };
    assert_eq!(reason, "HTTP 500: always (3 attempts)");
    assert_eq!(
        (
            scored.counts.answered,
            scored.counts.failed,
            scored.counts.requests
        ),
        (2, 1, 5)
    );
    // A failure is not remembered as an answer.
    let again = score(&judge, 3).unwrap();
    assert_eq!((again.counts.from_cache, again.counts.requests), (2, 3));
}

#[test]
fn a_dead_server_is_given_up() {
    let server = Server::replying(|request| match request.number {
        0 | 1 => says(GOOD),
        _ => response("503 Gone For Good", "", ""),
    });
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.url);
    settings.limits.max_failures = 3;
    let error = score(&open(folder.path(), settings.clone()), 1_000).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("failed 3 times in a row") && error.contains("HTTP 503"),
        "{error}"
    );
    assert_eq!(server.count(), 2 + 3 * 3);
    let kept = score(&open(folder.path(), settings), 2).unwrap();
    assert_eq!((kept.counts.from_cache, kept.counts.requests), (2, 0));
}

#[test]
fn no_server_at_all_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let scored = score(&open(folder.path(), settings(&url)), 1).unwrap();
    let told = scored.scores[0].as_ref().unwrap_err().to_string();
    assert!(
        told.contains(&format!("is the server running at {url}")),
        "{told}"
    );
    assert_eq!(scored.counts.tokens, 0);
    // A listener that accepts nobody: the connection stands, and nothing comes.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", deaf.local_addr().unwrap());
    let started = Instant::now();
    let scored = score(&open(folder.path(), settings(&url)), 1).unwrap();
    assert!(
        scored.scores[0]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("timed out")
    );
    assert!(started.elapsed() < Duration::from_secs(8));
    let empty = open(folder.path(), settings(&url)).compare(&[]).unwrap();
    assert_eq!(empty.counts.questions, 0);
}
