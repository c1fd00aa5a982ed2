//! `prompted-ratings`: a decoder without a scoring head rates dialogues by being asked to.
//!
//! After the dialogue, and after some rated ones where there are shots, stands the name of one impression. The answer
//! is the expected score: each whole number of the scale, on a line that ends with it, has a log-prob as what comes
//! next; the softmax over the numbers weighs them (the expectation over score tokens of G-Eval, Liu et al., 2023, arXiv
//! 2303.16634, computed from the log-probs rather than estimated by sampling). No text is sampled or parsed, so a
//! model that would rather say something else is rated as well; `score_mass` tells how likely it finds a number at all.
//!
//! A model with a chat template of its own is asked in messages: what the numbers mean is told by the system, each shot
//! is a question with its answer, and a number is a whole reply, which the template ends.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::data::render::foreign;
use crate::data::template::turn_text;
use crate::data::{
    Completion, Example, History, Prompt, Rated, Role, Said, Scale, Speaker, Tokenizer, Turn,
};
use crate::engine::Frozen;
use crate::stage::artifact::folder::LanguageModel;
use crate::stage::artifact::measures::{Measure, Measures};
use crate::stage::artifact::rated_set::RatedSet;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{BATCH, COUNT, Keys, SIZE, StageRef};
use crate::stage::settings::precision::Bf16;
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::work::scores::rating_errors::{self, Cluster};
use crate::stage::work::tokens::dataset::{self, Encoding};
use crate::store::Progress;

pub const KIND: Kind = Kind {
    name: "prompted-ratings",
    about: "how well a model rates dialogues when asked, with and without examples, by the expected score",
    produces: Produces::Measure,
    // 3: where a prompt ends follows its own tokens.
    // 4: models with a chat template of their own are asked by it.
    version: 4,
    uses_backend: true,
    modules: modules::JUDGING,
    read,
};

/// The most whole numbers that a scale may have: each is scored for every question.
const MOST_SCORES: usize = 101;

struct PromptedRatings {
    model: StageRef,
    data: StageRef,
    split: Split,
    impressions: Vec<String>,
    shots: usize,
    examples: usize,
    max_length: usize,
    batch_size: usize,
    bf16: Bf16,
    cluster: Cluster,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let stage = PromptedRatings {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", &[Produces::Rated]),
        split: Split::read(keys, "test"),
        impressions: keys
            .doc("which ratings are asked for; none named: all that there are")
            .strings("impressions", Some(&[])),
        shots: keys
            .doc("rated dialogues of the training split that the prompt shows, drawn by the run's seed")
            .usize("shots", 0, 0..=BATCH),
        examples: keys
            .doc("dialogues rated, drawn alike for every model and seed; 0: all")
            .usize("examples", 0, 0..=COUNT),
        max_length: keys
            .doc("tokens of prompt and score; over it, shots go first, then the oldest turns")
            .usize("max_length", 1024, 2..=SIZE),
        batch_size: keys
            .doc("dialogues scored at once; does not change the result")
            .usize("per_device_eval_batch_size", 4, 1..=BATCH),
        bf16: Bf16::read(keys),
        cluster: Cluster::read(keys),
    };
    if stage.shots > 0 && stage.split == Split::Train {
        keys.problem(
            "split",
            "shots are drawn from the training split, so that its dialogues are not new to the model; expected another \
             split, or no shots",
        );
    }
    Box::new(stage)
}

impl Measure for PromptedRatings {
    fn measure(&self, context: &Context) -> Result<Measures> {
        let data = context.input(&self.data);
        let RatedSet {
            mut rows, scale, ..
        } = RatedSet::open(data, self.split)?;
        let wording = Wording::read(scale)?;
        let impressions = rating_errors::impressions(&rows, &self.impressions)?;
        if self.examples > 0 {
            rows.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
            rows.truncate(self.examples);
        }
        let shots = match self.shots {
            0 => Vec::new(),
            _ => {
                let train = RatedSet::open(data, Split::Train)?.rows;
                draw(train, &impressions, self.shots, context.seed)?
            }
        };
        let LanguageModel {
            dir,
            config,
            tokenizer,
        } = LanguageModel::read(context.input(&self.model))?;
        let chat = foreign(&tokenizer)?.is_some();
        let asking = Asking::new(chat, &wording, &impressions, &shots);
        let asked = rows.iter().flat_map(|row| {
            let ask = |name: &String| asking.about(row, name);
            impressions.iter().map(ask)
        });
        let mut measures = Measures::default();
        // A line of its own ends the number, so that 1 is not the beginning of 10; an EOS says nothing more.
        let set = dataset::tokenised(
            asked.map(Ok),
            &tokenizer,
            (
                Encoding {
                    max_length: self.max_length,
                    // Examples are shown so far as there is room, and counted.
                    min_prompt_kept: 0.0,
                    group: Group::Dialogue,
                    shuffle: false,
                },
                false,
            ),
            &context.label,
            &context.dir,
            &mut measures,
        )?;
        let (longest, most) = (set.examples.longest(), config.max_positions);
        ensure!(
            longest <= most,
            "a prompt has {longest} tokens, but the model reads at most {most}; lower max_length to {most}"
        );
        let model = Frozen::open(self.bf16.device(&context.backend), &dir)?;
        let progress = Progress::new(&context.label, rows.len());
        let logps = model.logps(&set, self.batch_size, |done| {
            progress.at(done.min(rows.len()));
            !context.stop.requested()
        });
        progress.finish();
        context.stop.check()?;
        let logps = logps.unwrap_or_default();
        let answers: Vec<Answer> = logps.iter().map(|it| wording.answer(it)).collect();
        let predicted: Vec<Vec<f64>> = answers
            .chunks(impressions.len())
            .map(|row| row.iter().map(|answer| answer.expected).collect())
            .collect();
        let shown = self.shown(&tokenizer, &asking, &rows)?;
        measures.numbers.insert("shots_shown".into(), shown);
        let mass = answers.iter().map(|answer| answer.mass).sum::<f64>();
        let mass = mass / answers.len().max(1) as f64;
        measures.numbers.insert("score_mass".into(), mass);
        measures.note(format!(
            "{} dialogues asked about {} impressions, each after {shown:.1} of {} shots on average; a number from the \
             scale is said with a probability of {mass:.2e} on average",
            rows.len(),
            impressions.len(),
            shots.len()
        ));
        rating_errors::measure(
            &rows,
            &impressions,
            &predicted,
            self.cluster,
            &context.dir,
            &mut measures,
        )?;
        Ok(measures)
    }
}

impl PromptedRatings {
    /// About how many shots a prompt shows, on average, where `max_length` makes the first of them go.
    fn shown(&self, tokenizer: &Tokenizer, asking: &Asking<'_>, rows: &[Rated]) -> Result<f64> {
        let count = |text: &str| tokenizer.encode(text).map(|it| it.ids.len());
        // What stands in every prompt beside shots and dialogue.
        let always = format!("{}{}", asking.head, asking.wording.asks());
        let always = count(&always)?;
        let shots = asking.shots.iter().map(|shot| count(&shot.lines));
        let shots: Vec<usize> = shots.collect::<Result<_>>()?;
        let mut shown = 0;
        for row in rows {
            let mut tokens = always + count(&transcript(row))?;
            let fits = |shot: &&usize| {
                tokens += **shot;
                tokens <= self.max_length
            };
            shown += shots.iter().rev().take_while(fits).count();
        }
        Ok(shown as f64 / rows.len().max(1) as f64)
    }
}

/// Rows to show as examples: such as have a rating of every impression, drawn by `seed`.
fn draw(
    mut rows: Vec<Rated>,
    impressions: &[String],
    shots: usize,
    seed: u64,
) -> Result<Vec<Rated>> {
    rows.retain(|row| impressions.iter().all(|name| row.mean(name).is_some()));
    ensure!(
        rows.len() >= shots,
        "shots: expected at most {}, the dialogues of the training split that have a rating of every impression, \
         found {shots}; lower it, or name fewer impressions",
        rows.len()
    );
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    rows.truncate(shots);
    Ok(rows)
}

/// The file of the prompt's words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    head: String,
    ratings: String,
    about: BTreeMap<String, String>,
}

/// How a model is asked, and what it may answer.
struct Wording {
    words: Words,
    scores: Vec<i64>,
}

/// What a model says to one question.
struct Answer {
    /// The mean of the scores, weighed by their softmax.
    expected: f64,
    /// The probability of any of them.
    mass: f64,
}

/// How the questions about some dialogues are put.
struct Asking<'a> {
    /// In messages, for a model with a chat template of its own; else in lines.
    chat: bool,
    /// What stands before everything else.
    head: String,
    wording: &'a Wording,
    /// Rated dialogues, shown before the one that is asked about.
    shots: Vec<Shot<'a>>,
}

/// A dialogue that has ratings, written once for all questions.
struct Shot<'a> {
    row: &'a Rated,
    transcript: String,
    /// The dialogue and its score of each impression.
    lines: String,
}

impl<'a> Asking<'a> {
    fn new(chat: bool, wording: &'a Wording, impressions: &[String], shots: &'a [Rated]) -> Self {
        let shot = |row| {
            let transcript = transcript(row);
            let mut lines = format!("{transcript}{}", wording.asks());
            for name in impressions {
                if let Some(score) = wording.score(row, name) {
                    lines.push_str(&format!("{name}:{}", Self::line(score)));
                }
            }
            lines.push('\n');
            Shot {
                row,
                transcript,
                lines,
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

    /// The question about one impression of a dialogue, with every score as a completion. Those about one dialogue
    /// begin alike and are one group, so that they share their beginning.
    fn about(&self, row: &Rated, impression: &str) -> Example {
        let asks = format!("{}{impression}:", self.wording.asks());
        let (prompt, written): (_, fn(i64) -> String) = match self.chat {
            true => {
                let question = |dialogue: &str| said(Speaker::User, format!("{dialogue}{asks}"));
                let shots = self.shots.iter().filter_map(|shot| {
                    let score = self.wording.score(shot.row, impression)?;
                    Some([
                        question(&shot.transcript),
                        said(Speaker::Bot, score.to_string()),
                    ])
                });
                let history = History {
                    persona: None,
                    told: self.head.clone(),
                    turns: shots
                        .flatten()
                        .chain([question(&transcript(row))])
                        .collect(),
                };
                (Prompt::Dialogue(history), |score| format!(" {score}"))
            }
            false => {
                let shots = self.shots.iter().map(|shot| shot.lines.clone());
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

fn transcript(row: &Rated) -> String {
    row.turns.iter().map(turn_text).collect()
}

fn said(speaker: Speaker, text: String) -> Said {
    Said::Turn(Turn { speaker, text })
}

impl Wording {
    /// For a scale, of which the whole numbers are asked for.
    fn read(scale: Scale) -> Result<Self> {
        let words = include_str!("../../../assets/ratings/prompted.json");
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
    fn head(&self, impressions: &[String]) -> String {
        let mut head = self.filled(&self.words.head);
        for name in impressions {
            let about = self.words.about.get(name);
            let about = about.map_or(String::new(), |about| format!(": {about}"));
            head.push_str(&format!("- {name}{about}\n"));
        }
        head + "\n"
    }

    /// What stands between a dialogue and the first impression.
    fn asks(&self) -> String {
        self.filled(&self.words.ratings)
    }

    /// The whole number next to the mean of a row's ratings of an impression.
    fn score(&self, row: &Rated, impression: &str) -> Option<i64> {
        let (low, high) = self.ends();
        let mean = row.mean(impression)?;
        Some((mean.round() as i64).clamp(low, high))
    }

    /// From the log-probs of the scores, in their order.
    fn answer(&self, logps: &[f32]) -> Answer {
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

#[cfg(test)]
mod tests;
