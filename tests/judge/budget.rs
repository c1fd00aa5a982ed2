//! A budget stops cleanly: what was answered is kept, the rest is told.

use rapport::judge::Missing;

use super::server::{Server, completion, response, says};
use super::{GOOD, open, score, settings};

#[test]
fn requests_are_not_exceeded() {
    for concurrency in [1, 4] {
        let server = Server::replying(|_| says(GOOD));
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&server.url);
        settings.limits.max_requests = Some(5);
        settings.limits.concurrency = concurrency;
        let judge = open(folder.path(), settings.clone());
        let scored = score(&judge, 12).unwrap();
        assert_eq!((scored.counts.answered, scored.counts.over_budget), (5, 7));
        assert_eq!((server.count(), scored.counts.requests), (5, 5));
        let over = scored
            .scores
            .iter()
            .filter(|scores| **scores == Err(Missing::OverBudget));
        assert_eq!(over.count(), 7);
        // What is known costs nothing, even when nothing is left.
        assert_eq!(score(&judge, 12).unwrap().counts.from_cache, 5);
        // Another run goes on where this one ended.
        let next = score(&open(folder.path(), settings), 12).unwrap();
        assert_eq!((next.counts.answered, next.counts.from_cache), (10, 5));
    }
}

#[test]
fn requests_sent_again_count() {
    let server = Server::replying(|_| response("503 Busy", "", ""));
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.url);
    settings.limits.max_requests = Some(4);
    let scored = score(&open(folder.path(), settings), 3).unwrap();
    assert_eq!((scored.counts.failed, scored.counts.over_budget), (1, 2));
    assert_eq!(server.count(), 4);
}

#[test]
fn tokens_are_not_exceeded_and_guessed_at_where_the_server_does_not_count() {
    // The server counts 100 a request.
    let server = Server::replying(|_| says(GOOD));
    let folder = tempfile::tempdir().unwrap();
    let mut limited = settings(&server.url);
    limited.limits.max_tokens_total = Some(1_500);
    let scored = score(&open(folder.path(), limited.clone()), 40).unwrap();
    assert!(
        scored.counts.tokens <= 1_500 && scored.counts.answered >= 5,
        "{}",
        scored.counts
    );
    assert_eq!(scored.counts.tokens, 100 * scored.counts.answered as u64);
    assert_eq!(scored.counts.answered + scored.counts.over_budget, 40);

    for usage in ["null", r#"{"total_tokens":0}"#, r#"{"total_tokens":-9}"#] {
        let silent = Server::replying(move |_| {
            let body = completion(GOOD).to_string();
            let at = body.find(r#""usage":"#).unwrap();
            response("200 OK", "", format!("{}\"usage\":{usage}}}", &body[..at]))
        });
        let folder = tempfile::tempdir().unwrap();
        let mut limited = settings(&silent.url);
        limited.limits.max_tokens_total = Some(3_000);
        let scored = score(&open(folder.path(), limited), 40).unwrap();
        let counts = scored.counts;
        assert!(
            counts.over_budget > 0 && counts.answered > 0,
            "{usage}: {counts}"
        );
        assert!(counts.tokens <= 3_000, "{usage}: {counts}");
    }
    let nothing = Server::replying(|_| says(GOOD));
    let mut poor = settings(&nothing.url);
    poor.limits.max_tokens_total = Some(1);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        score(&open(folder.path(), poor), 3)
            .unwrap()
            .counts
            .over_budget,
        3
    );
    assert_eq!(nothing.count(), 0);
}
