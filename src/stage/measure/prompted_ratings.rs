//! `prompted-ratings`: a decoder without a scoring head rates dialogues by being asked to.
//!
//! After the dialogue, and after some rated ones where there are shots, stands the name of one impression. The answer
//! is the expected score: each whole number of the scale, on a line that ends with it, has a log-prob as what comes
//! next; the softmax over the numbers weighs them (the expectation over score tokens of G-Eval, Liu et al., 2023, arXiv
//! 2303.16634, computed from the log-probs rather than estimated by sampling). No text is sampled or parsed, so a
//! model that would rather say something else is rated as well; `score_mass` tells how likely it finds a number at all.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::data::template::turn_text;
use crate::data::{Completion, Example, Prompt, Rated, Role, Scale, Tokenizer};
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
    version: 3,
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
        let shots: Vec<String> = match self.shots {
            0 => Vec::new(),
            _ => {
                let train = RatedSet::open(data, Split::Train)?.rows;
                let drawn = draw(&train, &impressions, self.shots, context.seed)?;
                drawn
                    .into_iter()
                    .map(|row| wording.shot(row, &impressions))
                    .collect()
            }
        };
        let head = wording.head(&impressions);
        let asked = rows.iter().flat_map(|row| {
            let ask = |name: &String| wording.ask(row, name, &head, &shots);
            impressions.iter().map(ask)
        });

        let LanguageModel {
            dir,
            config,
            tokenizer,
        } = LanguageModel::read(context.input(&self.model))?;
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
        let always = format!("{head}{}", wording.filled(&wording.words.ratings));
        let shown = self.shown(&tokenizer, &always, &shots, &rows)?;
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
    /// About how many shots a prompt shows, on average, where `max_length` makes the first of them go; `always` is what
    /// stands in every prompt beside shots and dialogue.
    fn shown(
        &self,
        tokenizer: &Tokenizer,
        always: &str,
        shots: &[String],
        rows: &[Rated],
    ) -> Result<f64> {
        let count = |text: &str| tokenizer.encode(text).map(|it| it.ids.len());
        let always = count(always)?;
        let shots: Vec<usize> = shots.iter().map(|it| count(it)).collect::<Result<_>>()?;
        let mut shown = 0;
        for row in rows {
            let dialogue: String = row.turns.iter().map(turn_text).collect();
            let mut tokens = always + count(&dialogue)?;
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
fn draw<'a>(
    train: &'a [Rated],
    impressions: &[String],
    shots: usize,
    seed: u64,
) -> Result<Vec<&'a Rated>> {
    let whole = |row: &&Rated| impressions.iter().all(|name| row.mean(name).is_some());
    let mut rows: Vec<&Rated> = train.iter().filter(whole).collect();
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

    /// A score as what comes after its impression and a colon.
    fn line(score: i64) -> String {
        format!(" {score}\n")
    }

    /// A dialogue that has ratings, and the whole number next to the mean of each.
    fn shot(&self, row: &Rated, impressions: &[String]) -> String {
        let mut text: String = row.turns.iter().map(turn_text).collect();
        text.push_str(&self.filled(&self.words.ratings));
        let (low, high) = self.ends();
        for name in impressions {
            if let Some(mean) = row.mean(name) {
                let score = (mean.round() as i64).clamp(low, high);
                text.push_str(&format!("{name}:{}", Self::line(score)));
            }
        }
        text + "\n"
    }

    /// The question about one impression of a dialogue, with every score as a completion. Those about one dialogue
    /// begin alike and are one group, so that they share their beginning.
    fn ask(&self, row: &Rated, impression: &str, head: &str, shots: &[String]) -> Example {
        let turns = row.turns.iter().map(turn_text);
        let completion =
            |&score: &i64| Completion::new(Self::line(score), Role::Candidate(score.to_string()));
        Example {
            id: format!("{} {impression}", row.id),
            group: row.id.clone(),
            prompt: Prompt::parts(
                head.to_owned(),
                shots.iter().cloned().chain(turns).collect(),
                format!("{}{impression}:", self.filled(&self.words.ratings)),
            ),
            completions: self.scores.iter().map(completion).collect(),
            meta: Default::default(),
        }
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
