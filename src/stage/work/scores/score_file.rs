//! Scores of a user's file by a reward model or any other model with a scoring head.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::data::to_score::{Reads, Scorable, ToScore, to_score};
use crate::data::{Example, template};
use crate::engine::Device;
use crate::eval::correlation::pearson;
use crate::model::config::Problem;
use crate::model::decoder::Precision;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::scoring_format::Texts;
use crate::stage::work::scores::scored;
use crate::stage::work::scores::scorer::{self, Scorer};
use crate::store::{Progress, Stop};

/// A file's scores, and what is to be said of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredFile {
    /// `{"id": ..., "scores": {...}}` for each row, in order, with a `side` for each of a pair's two: on the scale of the ratings that the model learned
    /// from, or the probability of each class.
    pub lines: Vec<Value>,
    /// What was cut or left out, and how the scores go along with the file's own ratings.
    pub notes: Vec<String>,
}

/// Scores the rows of `file`, in any of the forms of [`to_score`], with `model`, a reward model's artifact or a model
/// folder with a scoring head, on the backend of that name. Texts are written as those were that the model learned
/// from, so far as its folder says so.
///
/// # Errors
/// A model or a file that cannot be read, every bad row by its line, prompts of which less than the share
/// `min_prompt_kept` fits into the model, [`crate::store::Stopped`].
pub fn score_file(
    model: &Path,
    file: &Path,
    (backend, min_prompt_kept): (&str, f64),
    stop: &Stop,
) -> Result<ScoredFile> {
    let (_, problem) = scorer::heads(model)?;
    let (format, template, stated) = scorer::format(model)?;
    let reads = Reads {
        classifier: problem == Problem::SingleLabelClassification,
        template: template.as_ref(),
    };
    let (rows, left_out) = to_score(file, reads)?;
    let mut scorer = Scorer::open(model, Device::new(backend, Precision::F32))?;
    scorer.min_prompt_kept = min_prompt_kept;
    let examples: Vec<Example> = rows.iter().map(example).collect();
    let mut measures = Measures::default();
    let progress = Progress::new("score", examples.len());
    let scores = scorer.scores(&examples, "score", &mut measures, |done| {
        progress.at(done);
        !stop.requested()
    })?;
    progress.finish();
    stop.check()?;
    let scores = scores.unwrap_or_default();
    let labels = scorer.labels();
    let mut notes: Vec<String> = Vec::new();
    let conversations = rows.iter().any(|row| row.is_conversation());
    if !stated && conversations {
        notes.push(format!(
            "the model's folder does not say how its conversations were written; they are read {}",
            match format.texts {
                Texts::Messages => "by its chat template",
                Texts::Transcript | Texts::Plain => "as lines of \"User: ...\" and \"Bot: ...\"",
            }
        ));
    }
    if left_out > 0 {
        notes.push(format!(
            "{left_out} messages of the role system were left out"
        ));
    }
    // Models with one output each say the same of their texts.
    let mut said = BTreeSet::new();
    notes.extend(
        measures
            .notes
            .into_iter()
            .filter(|it| said.insert(it.clone())),
    );
    notes.extend(agreement(&rows, labels, &scores));
    let lines = rows.iter().zip(scores).map(|(row, scores)| {
        let named: Map<String, Value> = labels
            .iter()
            .zip(scores)
            .map(|(label, score)| (label.clone(), json!(score)))
            .collect();
        match row.side {
            Some(side) => json!({"id": row.id, "side": side, "scores": named}),
            None => json!({"id": row.id, "scores": named}),
        }
    });
    Ok(ScoredFile {
        lines: lines.collect(),
        notes,
    })
}

/// Pearson's correlation with the file's own ratings of each label that it has ratings of.
fn agreement(rows: &[ToScore], labels: &[String], scores: &[Vec<f64>]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, label) in labels.iter().enumerate() {
        let (mut predicted, mut rated) = (Vec::new(), Vec::new());
        for (row, scores) in rows.iter().zip(scores) {
            if let Some(mean) = row.ratings.get(label) {
                predicted.push(scores[place]);
                rated.push(*mean);
            }
        }
        let of = rated.len();
        if of > 0 {
            found.push(match pearson(&predicted, &rated) {
                Some(r) => format!("pearson.{label} {r:.3} ({of} rated)"),
                None => format!("pearson.{label}: none, for want of {of} ratings that differ"),
            });
        }
    }
    found
}

fn example(row: &ToScore) -> Example {
    let mut example = match &row.text {
        Scorable::Dialogue(turns) => scored::of_turns(turns),
        Scorable::Text { prompt, completion } => {
            scored::of_replies(prompt, std::slice::from_ref(completion))
        }
        Scorable::Pair {
            premise,
            hypothesis,
        } => scored::of_replies(&template::premise(premise), &[format!(" {hypothesis}")]),
    };
    example.id = row.id.as_str().map_or(row.id.to_string(), str::to_owned);
    example
}
