//! A model with a chat template of its own, through every stage that reads or writes dialogues.

use std::path::{Path, PathBuf};

use rapport::data::{Rated, Speaker};
use rapport::stage::artifact::measures::Measures;
use rapport::store::read_jsonl;
use serde_json::{Value, json};

use super::stages::{artifact, with};
use super::{json as read, near};
use crate::cli::run;

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The base model of the tiny recipe as a user's own folder with that template, and the settings that start from it.
fn from_chatml(work: &Path) -> String {
    let (code, stderr) = with(work, "[\"base\"]", &[]);
    assert_eq!(code, 0, "{stderr}");
    let (from, to) = (
        artifact(work, "sft", "base").join("model"),
        work.join("own"),
    );
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    std::fs::write(to.join("chat_template.jinja"), CHATML).unwrap();
    let path = to.display();
    format!("base={{kind=\"pretrained\", per_seed=false, path=\"{path}\"}}")
}

fn predicted(artifact: &Path) -> Vec<Value> {
    read_jsonl(&artifact.join("predicted.jsonl")).unwrap()
}

fn rated(work: &Path) -> Vec<Rated> {
    let world = &super::stages::artifacts(work, "impression-world")[0];
    read_jsonl(&world.join("rated-test.jsonl")).unwrap()
}

fn rows(work: &Path, rows: &[Value]) -> PathBuf {
    let path = work.join("rows.jsonl");
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

#[test]
fn a_reward_model_reads_and_labels_dialogues_by_its_template() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let base = from_chatml(work);
    let (code, stderr) = with(
        work,
        "[\"feedback\",\"aif\"]",
        &[&base, "aif.reward=@all", "aif.reference=@base"],
    );
    assert_eq!(code, 0, "{stderr}");
    let reward = artifact(work, "reward-model", "all");
    let format = read(&reward.join("model/rapport.json"));
    assert_eq!(format["scores"]["texts"], "messages");
    // What the stage says of a dialogue is what the saved folder says of the same messages.
    let messages = rated(work).into_iter().map(|row| {
        let turn = |turn: &rapport::data::Turn| {
            let role = match turn.speaker {
                Speaker::User => "user",
                Speaker::Bot => "assistant",
            };
            json!({"role": role, "content": turn.text})
        };
        let messages: Vec<Value> = row.turns.iter().map(turn).collect();
        json!({"id": row.id, "messages": messages})
    });
    let file = rows(work, &messages.collect::<Vec<_>>());
    let model = reward.join("model");
    let (code, stdout, stderr) = run(
        work,
        &["score", model.to_str().unwrap(), file.to_str().unwrap()],
    );
    assert_eq!(code, 0, "{stderr}");
    let scored: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let stage = predicted(&reward);
    assert_eq!((scored.len(), stage.len()), (24, 24));
    for (scored, stage) in scored.iter().zip(&stage) {
        assert_eq!(scored["id"], stage["id"]);
        let of = |value: &Value| value["trust"].as_f64().unwrap();
        near(&[of(&scored["scores"])], &[of(&stage["predicted"])], 1e-4);
    }
    // Replies are words, whatever marks stand around them.
    let aif = artifact(work, "aif", "aif");
    let replies = std::fs::read_to_string(aif.join("replies.jsonl")).unwrap();
    let pairs = artifact(work, "ai-feedback", "feedback");
    let pairs = std::fs::read_to_string(pairs.join("train.jsonl")).unwrap();
    for text in [replies, pairs] {
        assert!(!text.contains("<|im_start|>user"), "{text}");
        assert!(text.contains("\"speaker\":\"user\""), "{text}");
    }
    assert!(Measures::read(&aif).unwrap().numbers.contains_key("oracle"));
}
