//! How a model is asked to rate a dialogue: the words of the question, the shots before it, and what may be answered.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::data::template::turn_text;
use crate::data::{Completion, Example, History, Prompt, Rated, Role, Said, Scale, Speaker, Turn};

/// The most whole numbers that a scale may have: each is scored for every question.
const MOST_SCORES: usize = 101;

/// The file of the prompt's words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    head: String,
    ratings: String,
    about: BTreeMap<String, String>,
}

/// How a model is asked, and what it may answer.
pub struct Wording {
    words: Words,
    scores: Vec<i64>,
}

/// What a model says to one question.
pub struct Answer {
    /// The mean of the scores, weighed by their softmax.
    pub expected: f64,
    /// The probability of any of them.
    pub mass: f64,
}

/// How the questions about some dialogues are put.
pub struct Asking<'a> {
    /// In messages, for a model with a chat template of its own; else in lines.
    chat: bool,
    /// What stands before everything else.
    pub head: String,
    pub wording: &'a Wording,
    /// Rated dialogues, shown before the one that is asked about.
    pub shots: Vec<Shot>,
}

/// A dialogue that has ratings, written once for all questions.
pub struct Shot {
    /// The dialogue, and that its ratings come.
    asked: String,
    /// Its score of each impression, on a line each.
    scores: String,
}

impl Shot {
    /// All of it, where there are no messages.
    pub fn lines(&self) -> String {
        format!("{}{}\n", self.asked, self.scores)
    }
}

impl<'a> Asking<'a> {
    pub fn new(chat: bool, wording: &'a Wording, impressions: &[String], shots: &[Rated]) -> Self {
        let shot = |row| {
            let score = |name: &String| {
                let score = wording.score(row, name)?;
                Some(format!("{name}:{}", Self::line(score)))
            };
            Shot {
                asked: format!("{}{}", transcript(row), wording.asks()),
                scores: impressions.iter().filter_map(score).collect(),
            }
        };
        Self {
            chat,
            head: wording.head(impressions),
            wording,
            shots: shots.iter().map(shot).collect(),
        }
    }

    /// A score as what comes after its impression and a colon.
    fn line(score: i64) -> String {
        format!(" {score}\n")
    }

    /// The question about one impression of a dialogue, with every score as a completion. All questions show the same
    /// shots, and those about one dialogue begin alike.
    pub fn about(&self, row: &Rated, impression: &str) -> Example {
        let asks = format!("{}{impression}:", self.wording.asks());
        let (prompt, written): (_, fn(i64) -> String) = match self.chat {
            true => {
                let shots = self.shots.iter().flat_map(|shot| {
                    [
                        said(Speaker::User, shot.asked.trim_end().to_owned()),
                        said(Speaker::Bot, shot.scores.trim_end().to_owned()),
                    ]
                });
                let question = format!("{}{asks}", transcript(row));
                let history = History {
                    persona: None,
                    told: self.head.clone(),
                    turns: shots.chain([said(Speaker::User, question)]).collect(),
                };
                (Prompt::Dialogue(history), |score| format!(" {score}"))
            }
            false => {
                let shots = self.shots.iter().map(Shot::lines);
                let turns = shots.chain(row.turns.iter().map(turn_text)).collect();
                let prompt = Prompt::parts(self.head.clone(), turns, asks);
                (prompt, Self::line)
            }
        };
        let completion =
            |&score: &i64| Completion::new(written(score), Role::Candidate(score.to_string()));
        Example {
            id: format!("{} {impression}", row.id),
            group: row.id.clone(),
            prompt,
            completions: self.wording.scores.iter().map(completion).collect(),
            meta: Default::default(),
        }
    }
}

pub fn transcript(row: &Rated) -> String {
    row.turns.iter().map(turn_text).collect()
}

fn said(speaker: Speaker, text: String) -> Said {
    Said::Turn(Turn { speaker, text })
}

impl Wording {
    /// For a scale, of which the whole numbers are asked for.
    pub fn read(scale: Scale) -> Result<Self> {
        let words = include_str!("../../../../assets/ratings/prompted.json");
        let words: Words = serde_json::from_str(words).context("assets/ratings/prompted.json")?;
        let Scale { low, high } = scale;
        let scores: Vec<i64> = (low.ceil() as i64..=high.floor() as i64)
            .take(MOST_SCORES + 1)
            .collect();
        ensure!(
            (2..=MOST_SCORES).contains(&scores.len()),
            "the scale from {low} to {high}: a model is asked for one of 2 to {MOST_SCORES} whole numbers; rescale the \
             ratings"
        );
        Ok(Self { words, scores })
    }

    /// The lowest and the highest score.
    fn ends(&self) -> (i64, i64) {
        (self.scores[0], self.scores[self.scores.len() - 1])
    }

    fn filled(&self, text: &str) -> String {
        let (low, high) = self.ends();
        text.replace("{low}", &low.to_string())
            .replace("{high}", &high.to_string())
    }

    /// What stands before everything else: what is asked for, and what each impression means.
    pub fn head(&self, impressions: &[String]) -> String {
        let mut head = self.filled(&self.words.head);
        for name in impressions {
            let about = self.words.about.get(name);
            let about = about.map_or(String::new(), |about| format!(": {about}"));
            head.push_str(&format!("- {name}{about}\n"));
        }
        head + "\n"
    }

    /// What stands between a dialogue and the first impression.
    pub fn asks(&self) -> String {
        self.filled(&self.words.ratings)
    }

    /// The whole number next to the mean of a row's ratings of an impression.
    fn score(&self, row: &Rated, impression: &str) -> Option<i64> {
        let (low, high) = self.ends();
        let mean = row.mean(impression)?;
        Some((mean.round() as i64).clamp(low, high))
    }

    /// From the log-probs of the scores, in their order.
    pub fn answer(&self, logps: &[f32]) -> Answer {
        let logps = logps.iter().map(|&it| f64::from(it));
        let most = logps.clone().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logps.map(|it| (it - most).exp()).collect();
        let total: f64 = weights.iter().sum();
        let weighed = weights.iter().zip(&self.scores);
        Answer {
            expected: weighed.map(|(w, &score)| w * score as f64).sum::<f64>() / total,
            mass: total * most.exp(),
        }
    }
}
