//! Scoring heads: their outputs, losses and folders against transformers, torch and TRL (tests/fixtures/scores and
//! trl_reward, written by scripts/make_references.py), and the stages that train and use them.

mod chat;
mod heads;
mod kills;
mod losses;
mod stages;

use std::path::{Path, PathBuf};

use rapport::data::{Completion, Example, Prompt, Role};
use rapport::stage::artifact::measures::Measures;
use rapport::stage::work::scores::scorer::Scorer;
use serde_json::Value;

use crate::parity::fixtures;
use crate::support::in_f32;
pub use stages::artifact;

pub const FAMILIES: [&str; 4] = ["gpt2", "llama", "mistral", "qwen2"];

/// A folder in `dir` with a family's scoring model, and the tokenizer that it is for.
pub fn scoring_model(dir: &Path, family: &str) -> PathBuf {
    let to = dir.join(family);
    std::fs::create_dir(&to).unwrap();
    let copy = |from: PathBuf, file: &str| {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    };
    for file in ["config.json", "model.safetensors"] {
        copy(fixtures().join("scores").join(family), file);
    }
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        copy(fixtures().join("trl_dpo/model"), file);
    }
    to
}

pub fn expected(family: &str) -> Value {
    json(&fixtures().join("scores").join(family).join("expected.json"))
}

pub fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn texts(expected: &Value) -> Vec<String> {
    let texts = expected["texts"].as_array().unwrap().iter();
    texts.map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// A row of numbers.
pub fn floats(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|it| it.as_f64().unwrap()).collect()
}

/// Texts that follow one prompt.
pub fn example(prompt: &str, texts: &[String]) -> Example {
    let completion = |text: &String| Completion::new(text.clone(), Role::Reply);
    Example {
        id: "x".into(),
        group: String::new(),
        prompt: Prompt::Text(prompt.into()),
        completions: texts.iter().map(completion).collect(),
        meta: Default::default(),
    }
}

pub fn scores(folder: &Path, examples: &[Example]) -> Vec<Vec<f64>> {
    let scorer = Scorer::open(folder, in_f32()).unwrap();
    let mut measures = Measures::default();
    let scores = scorer.scores(examples, "test", &mut measures, |_| true);
    assert!(measures.notes.is_empty(), "{:?}", measures.notes);
    scores.unwrap().unwrap()
}

#[track_caller]
pub fn near(found: &[f64], expected: &[f64], within: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= within * expected.abs().max(1.0),
            "{found}, expected {expected}"
        );
    }
}
