//! The judge behind an endpoint, against servers that behave and servers that do not.

mod budget;
mod key;
mod misbehaviour;
mod retries;
mod server;
mod stopping;
mod wire;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rapport::data::Prompt;
use rapport::judge::{
    Choice, Criterion, Endpoint, EndpointSettings, Item, Judge, Language, Limits, Missing, Pair,
    Place, Scored,
};
use rapport::store::{Stop, read_jsonl};
use serde_json::{Map, Value};
use server::{Request, Server, completion, response, says};

const GOOD: &str = r#"{"adherence": 8, "naturalness": 3}"#;

fn settings(url: &str) -> EndpointSettings {
    EndpointSettings {
        base_url: url.to_owned(),
        model: "tester".into(),
        api_key_env: None,
        criteria: ["adherence", "naturalness"]
            .map(|name| Criterion::parse(name, Language::English).unwrap())
            .into(),
        language: Language::English,
        score_prompt: None,
        pair_prompt: None,
        temperature: 0.0,
        max_answer_tokens: 100,
        max_tokens_key: "max_tokens",
        limits: Limits {
            concurrency: 1,
            timeout: Duration::from_millis(1_500),
            connect_timeout: Duration::from_millis(500),
            max_retries: 2,
            first_wait: Duration::from_millis(10),
            longest_wait: Duration::from_millis(100),
            max_response_bytes: 1 << 16,
            ..Limits::default()
        },
    }
}

fn open(folder: &Path, settings: EndpointSettings) -> Endpoint {
    open_with(folder, settings, Stop::new())
}

fn open_with(folder: &Path, settings: EndpointSettings, stop: Stop) -> Endpoint {
    let place = Place {
        answers: folder.join("answers.jsonl"),
        cache: folder.join("cache"),
        label: "judge".into(),
        stop,
    };
    Endpoint::open(settings, place).unwrap()
}

/// Scores replies `r0`, `r1`, ... to one prompt.
fn score(judge: &dyn Judge, count: usize) -> anyhow::Result<Scored> {
    let replies: Vec<String> = (0..count).map(|index| format!("r{index}")).collect();
    let prompt = Prompt::Text("Ask for the name first.\nUser: hi\nBot:".into());
    let meta = Map::new();
    let items: Vec<Item<'_>> = replies
        .iter()
        .map(|reply| Item {
            id: reply,
            prompt: &prompt,
            reply,
            meta: &meta,
        })
        .collect();
    judge.score(&items)
}

fn answers(folder: &Path) -> Vec<Map<String, Value>> {
    read_jsonl(&folder.join("answers.jsonl")).unwrap()
}

#[test]
fn scores_are_asked_for_in_structure_and_a_rerun_costs_nothing() {
    let server = Server::replying(|_| says(GOOD));
    let folder = tempfile::tempdir().unwrap();
    let scored = score(&open(folder.path(), settings(&server.url)), 3).unwrap();
    let scores = scored.scores[2].as_ref().unwrap();
    assert_eq!((scores["adherence"], scores["naturalness"]), (8.0, 3.0));
    let counts = scored.counts;
    assert_eq!(
        (counts.questions, counts.answered, counts.from_cache),
        (3, 3, 0)
    );
    assert_eq!((counts.requests, counts.tokens), (3, 300));
    let request = &server.requests()[0];
    assert!(
        request
            .head
            .starts_with("POST /v1/chat/completions HTTP/1.1\r\n")
    );
    assert!(!request.head.to_lowercase().contains("authorization"));
    assert_eq!(request.body["model"], "tester");
    assert_eq!(request.body["max_tokens"], 100);
    let schema = &request.body["response_format"]["json_schema"]["schema"];
    assert_eq!(
        schema["required"],
        serde_json::json!(["adherence", "naturalness"])
    );
    assert_eq!(schema["properties"]["adherence"]["enum"][9], 10);
    assert!(
        request
            .question()
            .contains("Ask for the name first.\nUser: hi")
    );

    // As after a kill: the record's last line is torn.
    let path = folder.path().join("answers.jsonl");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let again = score(&open(folder.path(), settings(&server.url)), 4).unwrap();
    assert_eq!((again.counts.answered, again.counts.from_cache), (4, 3));
    assert_eq!((again.counts.requests, again.counts.tokens), (1, 100));
    assert_eq!(server.count(), 4);
    let kept = answers(folder.path());
    let ids: Vec<&str> = kept.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["r0", "r1", "r2", "r3"]);
    assert_eq!(kept[2]["cached"], true);
    assert!(kept[3]["body"].as_str().unwrap().contains("adherence"));

    // Another model, server or temperature is another question.
    let other = EndpointSettings {
        temperature: 0.5,
        ..settings(&server.url)
    };
    let other = score(&open(folder.path(), other), 1).unwrap();
    assert_eq!(other.counts.from_cache, 0);
}

#[test]
fn equal_questions_are_asked_once_even_at_once() {
    let server = Server::replying(|_| {
        std::thread::sleep(Duration::from_millis(200));
        says(GOOD)
    });
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.url);
    settings.limits.concurrency = 8;
    let judge = open(folder.path(), settings);
    let meta = Map::new();
    let ids: Vec<String> = (0..8).map(|index| format!("i{index}")).collect();
    let prompt = Prompt::Text("p".into());
    let items: Vec<Item<'_>> = ids
        .iter()
        .map(|id| Item {
            id,
            prompt: &prompt,
            reply: "the same",
            meta: &meta,
        })
        .collect();
    let scored = judge.score(&items).unwrap();
    assert_eq!(server.count(), 1);
    assert_eq!((scored.counts.answered, scored.counts.from_cache), (8, 7));
    assert_eq!(answers(folder.path()).len(), 8);
}

#[test]
fn no_more_requests_are_under_way_than_allowed_and_no_fewer() {
    let server = Server::replying(|_| {
        std::thread::sleep(Duration::from_millis(60));
        says(GOOD)
    });
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.url);
    settings.limits.concurrency = 3;
    let scored = score(&open(folder.path(), settings), 12).unwrap();
    assert_eq!(scored.counts.answered, 12);
    assert_eq!(server.most.load(std::sync::atomic::Ordering::SeqCst), 3);
}

/// Says which of two replies to choose, given the two as they are shown.
fn compare(
    folder: &Path,
    pairs: &[(&str, &str)],
    answer: impl Fn(bool) -> Vec<u8> + Send + Sync + 'static,
) -> rapport::judge::Compared {
    let better_first = |request: &Request| {
        let question = request.question().to_owned();
        question.find("better") < question.find("worse")
    };
    // The words themselves are not in the prompt.
    let server = Server::replying(move |request| answer(better_first(request)));
    let mut settings = settings(&server.url);
    let prompt = folder.join("pair.jinja");
    std::fs::write(&prompt, "{{ prompt }}|{{ first }}|{{ second }}").unwrap();
    settings.pair_prompt = Some(prompt);
    let prompt = Prompt::Text("p".into());
    let meta = Map::new();
    let pairs: Vec<Pair<'_>> = pairs
        .iter()
        .map(|(first, second)| Pair {
            id: first,
            prompt: &prompt,
            first,
            second,
            meta: &meta,
        })
        .collect();
    open(folder, settings).compare(&pairs).unwrap()
}

#[test]
fn pairs_are_asked_in_both_orders_and_disagreement_is_a_tie() {
    let pairs = [("better", "worse"), ("worse", "better")];
    let folder = tempfile::tempdir().unwrap();
    let fair = compare(folder.path(), &pairs, |better_first| {
        says(if better_first {
            "Not [[2]] but [[1]]"
        } else {
            "<think>[[1]]?</think> I could write [[1]] or [[3]]. It is [[2]]."
        })
    });
    assert_eq!(fair.choices, [Ok(Choice::First), Ok(Choice::Second)]);
    assert_eq!((fair.counts.questions, fair.counts.answered), (4, 4));
    // The second pair is the first one swapped: its questions have been asked.
    assert_eq!((fair.counts.from_cache, fair.counts.requests), (2, 2));
    assert_eq!(fair.order.first_rate(), Some(0.5));
    assert_eq!((fair.order.pairs, fair.order.disagreements), (2, 0));

    let folder = tempfile::tempdir().unwrap();
    let biased = compare(folder.path(), &pairs[..1], |_| says("[[1]]"));
    assert_eq!(biased.choices, [Ok(Choice::Tie)]);
    assert_eq!(biased.order.first_rate(), Some(1.0));
    assert_eq!((biased.order.pairs, biased.order.disagreements), (1, 1));

    let folder = tempfile::tempdir().unwrap();
    let mute = compare(folder.path(), &pairs[..1], |better_first| {
        says(if better_first { "[[3]]" } else { "who knows" })
    });
    assert!(matches!(&mute.choices[0], Err(Missing::Unparsable(_))));
    assert_eq!((mute.counts.answered, mute.counts.unparsable), (1, 1));
    assert_eq!(
        (mute.order.pairs, mute.order.tie, mute.order.first_rate()),
        (0, 1, None)
    );
}

#[test]
fn a_server_without_structured_output_is_asked_without_and_that_is_remembered() {
    for status in [
        "400 Bad Request",
        "422 Unprocessable Entity",
        "501 Not Implemented",
        "500 Error",
    ] {
        let server = Server::replying(move |request| match request.structured() {
            true => response(
                status,
                "",
                r#"{"error": {"message": "response_format: unknown"}}"#,
            ),
            false => says("adherence: 8/10\nnaturalness: 3/10"),
        });
        let folder = tempfile::tempdir().unwrap();
        let judge = open(folder.path(), settings(&server.url));
        let scored = score(&judge, 3).unwrap();
        assert_eq!(scored.counts.answered, 3, "{status}");
        let structured = |server: &Server| {
            let requests = server.requests();
            requests
                .iter()
                .filter(|request| request.structured())
                .count()
        };
        assert_eq!((structured(&server), server.count()), (1, 4), "{status}");
        let again = score(&open(folder.path(), settings(&server.url)), 3).unwrap();
        assert_eq!((again.counts.from_cache, again.counts.requests), (3, 0));
        assert_eq!(server.count(), 4);
    }
}

#[test]
fn what_refuses_everyone_stops_at_once_with_a_remedy_and_keeps_what_came() {
    for (status, remedy) in [
        ("400 Bad Request", "model_name"),
        ("401 Unauthorized", "api_key_env"),
        ("403 Forbidden", "api_key_env"),
        ("404 Not Found", "base_url"),
    ] {
        let server = Server::replying(move |request| match request.question().contains("r2") {
            true => response(status, "", r#"{"error": {"message": "it is so"}}"#),
            false => says(GOOD),
        });
        let folder = tempfile::tempdir().unwrap();
        let error = score(&open(folder.path(), settings(&server.url)), 50).unwrap_err();
        let error = format!("{error:#}");
        for part in [&status[..3], remedy, "it is so", "r2", server.url.as_str()] {
            assert!(error.contains(part), "{error}");
        }
        assert!(server.count() <= 4, "{} requests", server.count());
        let before = server.count();
        let kept = score(&open(folder.path(), settings(&server.url)), 2).unwrap();
        assert_eq!((kept.counts.answered, kept.counts.from_cache), (2, 2));
        assert_eq!(server.count(), before);
    }
}

#[test]
fn a_stop_ends_it_soon_and_keeps_what_came() {
    let stop = Stop::new();
    let (raise, raised_at) = (stop.clone(), Mutex::new(None));
    let raised_at = std::sync::Arc::new(raised_at);
    let at = raised_at.clone();
    let server = Server::replying(move |request| {
        if request.number == 3 {
            raise.request();
            at.lock().unwrap().get_or_insert(Instant::now());
            return response("503 Busy", "Retry-After: 3600\r\n", "");
        }
        says(GOOD)
    });
    let folder = tempfile::tempdir().unwrap();
    let mut slow = settings(&server.url);
    slow.limits.longest_wait = Duration::from_secs(3_600);
    let error = score(&open_with(folder.path(), slow, stop), 9).unwrap_err();
    assert!(error.is::<rapport::store::Stopped>(), "{error:#}");
    let since = raised_at.lock().unwrap().unwrap().elapsed();
    assert!(since < Duration::from_secs(2), "{since:?}");
    let again = score(&open(folder.path(), settings(&server.url)), 9).unwrap();
    assert_eq!((again.counts.answered, again.counts.from_cache), (9, 3));
}

#[test]
fn japanese_arrives_and_is_understood() {
    let server = Server::replying(|request| {
        assert!(request.question().contains("この応答を採点してください"));
        says("採点します。\nadherence：８／１０\nnaturalness：3点")
    });
    let folder = tempfile::tempdir().unwrap();
    let japanese = EndpointSettings {
        language: Language::Japanese,
        ..settings(&server.url)
    };
    let scored = score(&open(folder.path(), japanese), 1).unwrap();
    assert_eq!(scored.scores[0].as_ref().unwrap()["adherence"], 8.0);
    let usage = completion("x")["usage"]["total_tokens"].as_u64();
    assert_eq!(Some(scored.counts.tokens), usage);
}
