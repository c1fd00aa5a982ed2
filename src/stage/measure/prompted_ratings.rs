//! `prompted-ratings`: a decoder without a scoring head rates dialogues by being asked to.
//!
//! After the dialogue, and after some rated ones where there are shots, stands the name of one impression. The answer
//! is the expected score: each whole number of the scale, on a line that ends with it, has a log-prob as what comes
//! next; the softmax over the numbers weighs them (the expectation over score tokens of G-Eval, Liu et al., 2023, arXiv
//! 2303.16634, computed from the log-probs rather than estimated by sampling). No text is sampled or parsed, so a
//! model that would rather say something else is rated as well; `score_mass` tells how likely it finds a number at all.
//!
//! A model with a chat template of its own is asked in messages: what the numbers mean is told by the system, each shot
//! is a question answered with all its ratings, and a number is a whole reply, which the template ends. So every question
//! shows the same, which is computed once for all of them.

mod asking;

use anyhow::{Result, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::data::render::foreign;
use crate::data::{Example, Rated, Tokenizer};
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
use asking::{Answer, Asking, Wording, transcript};

pub const KIND: Kind = Kind {
    name: "prompted-ratings",
    about: "how well a model rates dialogues when asked, with and without examples, by the expected score",
    produces: Produces::Measure,
    // 3: where a prompt ends follows its own tokens.
    // 4: models with a chat template of their own are asked by it. 5: a shot in messages is answered with all its ratings.
    version: 5,
    uses_backend: true,
    modules: modules::JUDGING,
    read,
};

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
        // Dialogues that are scored at once are one group, so that what comes before all of them is read once.
        let questions = rows.iter().enumerate().flat_map(|(at, row)| {
            let group = (at / self.batch_size).to_string();
            let ask = |name: &String| Example {
                group: group.clone(),
                ..asking.about(row, name)
            };
            impressions.iter().map(ask).collect::<Vec<_>>()
        });
        let mut measures = Measures::default();
        // A line of its own ends the number, so that 1 is not the beginning of 10; an EOS says nothing more.
        let set = dataset::tokenised(
            questions.map(Ok),
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
        let logps = model.logps(&set, 1, |batches| {
            progress.at((batches * self.batch_size).min(rows.len()));
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
        let shots = asking.shots.iter().map(|shot| count(&shot.lines()));
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

#[cfg(test)]
mod tests;
