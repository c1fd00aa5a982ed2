//! `rapport score` as its user calls it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::{root, run};
use crate::reward::{expected, floats, near, scoring_model, texts};

/// A scoring model of three impressions in the folder.
fn model(work: &Path) -> PathBuf {
    scoring_model(work, "llama")
}

/// The same model, its outputs taken for the logits of classes.
fn classifier(work: &Path) -> PathBuf {
    let folder = scoring_model(work, "mistral");
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("\"regression\"", "\"single_label_classification\"");
    std::fs::write(path, text).unwrap();
    folder
}

fn file(work: &Path, rows: &[Value]) -> PathBuf {
    let path = work.join("rows.jsonl");
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn score(work: &Path, model: &Path, rows: &Path, more: &[&str]) -> (i32, String, String) {
    let arguments = ["score", model.to_str().unwrap(), rows.to_str().unwrap()];
    run(work, &[&arguments, more].concat())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of(line: &Value) -> Vec<f64> {
    let labels = ["ease", "topic", "trust"];
    assert_eq!(line["scores"].as_object().unwrap().len(), 3);
    labels
        .map(|label| line["scores"][label].as_f64().unwrap())
        .to_vec()
}

#[test]
fn texts_score_as_transformers_says_in_their_order() {
    let work = tempfile::tempdir().unwrap();
    let (model, expected) = (model(work.path()), expected("llama"));
    let texts = texts(&expected);
    let rows: Vec<Value> = texts
        .iter()
        .map(|text| json!({"prompt": "", "completion": text}))
        .collect();
    let rows = file(work.path(), &rows);
    let (code, stdout, stderr) = score(work.path(), &model, &rows, &[]);
    assert_eq!(code, 0, "{stderr}");
    let found = lines(&stdout);
    assert_eq!(found.len(), texts.len());
    for (at, (line, outputs)) in found
        .iter()
        .zip(expected["outputs"].as_array().unwrap())
        .enumerate()
    {
        assert_eq!(line["id"], at + 1);
        near(&of(line), &floats(outputs), 1e-5);
    }
    let out = work.path().join("deep/scores.jsonl");
    let (code, stdout, _) = score(
        work.path(),
        &model,
        &rows,
        &["--out", out.to_str().unwrap()],
    );
    assert_eq!((code, &*stdout), (0, ""));
    assert_eq!(lines(&std::fs::read_to_string(out).unwrap()), found);
}

#[test]
fn a_dialogue_scores_the_same_in_each_form_and_ratings_are_compared() {
    let work = tempfile::tempdir().unwrap();
    let model = model(work.path());
    let turns = [
        json!([{"speaker": "user", "text": "hello!"}, {"speaker": "bot", "text": "busy."}]),
        json!([{"speaker": "user", "text": "bees?"}, {"speaker": "bot", "text": "yes, bees."}]),
        json!([{"speaker": "bot", "text": "i keep bees."}]),
    ];
    let messages = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello!"},
        {"role": "assistant", "content": "busy."}]);
    let rows = file(
        work.path(),
        &[
            json!({"id": "a", "turns": turns[0], "ratings": [{"rater": "r", "scores": {"ease": 1, "charm": 2}}]}),
            json!({"id": "b", "turns": turns[1], "ratings": [{"rater": "r", "scores": {"ease": 2}},
                {"rater": "s", "scores": {"ease": 9}}]}),
            json!({"id": "c", "turns": turns[2], "ratings": [{"rater": "r", "scores": {"ease": 3, "trust": 1}}]}),
            json!({"id": 9, "messages": messages}),
            json!({"prompt": "User: hello!\nBot:", "completion": " busy."}),
        ],
    );
    let (code, stdout, stderr) = score(work.path(), &model, &rows, &[]);
    assert_eq!(code, 0, "{stderr}");
    let found = lines(&stdout);
    let ids: Vec<&Value> = found.iter().map(|line| &line["id"]).collect();
    assert_eq!(
        ids,
        [&json!("a"), &json!("b"), &json!("c"), &json!(9), &json!(5)]
    );
    near(&of(&found[3]), &of(&found[0]), 1e-6);
    near(&of(&found[4]), &of(&found[0]), 1e-6);
    assert!((of(&found[1])[0] - of(&found[0])[0]).abs() > 1e-2);
    let ease: Vec<f64> = found[..3].iter().map(|line| of(line)[0]).collect();
    let rated = [1.0, 5.5, 3.0];
    let mean = |values: &[f64]| values.iter().sum::<f64>() / 3.0;
    let (a, b) = (mean(&ease), mean(&rated));
    let sum = |f: &dyn Fn(usize) -> f64| (0..3).map(f).sum::<f64>();
    let r = sum(&|i| (ease[i] - a) * (rated[i] - b))
        / (sum(&|i| (ease[i] - a).powi(2)) * sum(&|i| (rated[i] - b).powi(2))).sqrt();
    assert!(
        stderr.contains(&format!("pearson.ease {r:.3} (3 rated)")),
        "{r}: {stderr}"
    );
    assert!(stderr.contains("pearson.trust: none"), "{stderr}");
    assert!(
        !stderr.contains("charm") && !stderr.contains("topic"),
        "{stderr}"
    );
    assert!(stderr.contains("1 messages of the role system"), "{stderr}");
}

#[test]
fn a_classifier_says_how_likely_each_class_is() {
    let work = tempfile::tempdir().unwrap();
    let model = classifier(work.path());
    let rows = file(
        work.path(),
        &[
            json!({"id": "x", "premise": "i keep bees.", "hypothesis": "i sail."}),
            json!({"prompt": "Persona: i keep bees.\nBot:", "completion": " i sail."}),
        ],
    );
    let (code, stdout, stderr) = score(work.path(), &model, &rows, &[]);
    assert_eq!(code, 0, "{stderr}");
    let found = lines(&stdout);
    near(&[of(&found[0]).iter().sum()], &[1.0], 1e-9);
    near(&of(&found[1]), &of(&found[0]), 1e-6);
}

#[test]
fn bad_rows_and_models_are_named_and_nothing_is_written() {
    let work = tempfile::tempdir().unwrap();
    let model = model(work.path());
    let rows = file(
        work.path(),
        &[
            json!({"completion": "fine."}),
            json!({"completion": 3}),
            json!({"premise": "a", "hypothesis": "b"}),
        ],
    );
    let out = work.path().join("scores.jsonl");
    let to = ["--out", out.to_str().unwrap()];
    let (code, stdout, stderr) = score(work.path(), &model, &rows, &to);
    assert_eq!((code, &*stdout), (2, ""), "{stderr}");
    for place in ["rows.jsonl:2: completion", "rows.jsonl:3: premise"] {
        assert!(stderr.contains(place), "{place}: {stderr}");
    }
    let good = file(work.path(), &[json!({"completion": "fine."})]);
    let language = root().join("tests/fixtures/trl_dpo/model");
    for (model, rows, more, expected) in [
        (
            &language,
            &good,
            &[][..],
            "a language model, where one with a scoring head",
        ),
        (
            &work.path().join("none"),
            &good,
            &[],
            "none: no model folder with a scoring head",
        ),
        (
            &model,
            &work.path().join("absent.jsonl"),
            &[],
            "absent.jsonl: no such file",
        ),
        (
            &model,
            &good,
            &["--backend", "abacus"],
            "flex, ndarray, wgpu, cuda",
        ),
    ] {
        let (code, stdout, stderr) = score(work.path(), model, rows, &[&to, more].concat());
        assert_eq!((code, &*stdout), (2, ""), "{stderr}");
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert!(!out.exists());
}

#[test]
fn texts_that_are_too_long_are_cut_and_counted() {
    let work = tempfile::tempdir().unwrap();
    let model = model(work.path());
    let long = json!({"prompt": "Bot: i keep bees. ".repeat(20), "completion": " i keep bees."});
    let rows = file(work.path(), &[long, json!({"completion": "short."})]);
    let allowed = ["--min-prompt-kept", "0.1"];
    let (code, stdout, stderr) = score(work.path(), &model, &rows, &allowed);
    assert_eq!((code, lines(&stdout).len()), (0, 2), "{stderr}");
    let cut = "max_position_embeddings 64 cut 1 prompts";
    assert!(stderr.contains(cut), "{stderr}");
    // Less than half of it is scored, which nobody has asked for.
    let (code, stdout, stderr) = score(work.path(), &model, &rows, &[]);
    assert_eq!((code, &*stdout), (2, ""), "{stderr}");
    assert!(
        stderr.contains(cut) && stderr.contains("is left of the text of 1, 1)"),
        "{stderr}"
    );
}
