//! `ai-feedback`: preference pairs by a reward model: of k replies sampled to a prompt the best is chosen, the
//! worst rejected (arXiv 2501.12698 has its reward model label sampled replies in this way).

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::data::{Example, Prompt, Role, Tokenizer};
use crate::stage::artifact::drawn;
use crate::stage::artifact::examples::prompts;
use crate::stage::artifact::examples::{
    RowsSettings, kwargs, write_examples, write_kwargs, write_settings,
};
use crate::stage::artifact::folder::model_dir;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::sampled::Sampled;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, LARGE, SAMPLES, StageRef};
use crate::stage::settings::produces::{EXAMPLES, Produces};
use crate::stage::settings::reward::RewardSettings;
use crate::stage::settings::sampling::SamplingSettings;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::work::streams;

pub const KIND: Kind = Kind {
    name: "ai-feedback",
    about: "pairs of the best and the worst of k sampled replies, by a reward model",
    produces: Produces::Pairs,
    // 2: replies are their tokens; random streams are named by their split.
    version: 2,
    uses_backend: true,
    modules: modules::JUDGING,
    read,
};

struct AiFeedback {
    model: StageRef,
    data: StageRef,
    split: Split,
    skip: usize,
    examples: usize,
    valid_examples: usize,
    samples: usize,
    margin: f64,
    reward: RewardSettings,
    sampling: SamplingSettings,
    rows: RowsSettings,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(AiFeedback {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", EXAMPLES),
        split: Split::read(keys, "prompts"),
        skip: keys
            .doc("prompts left out at the front, such as those that models are judged on")
            .usize("skip", 0, 0..=COUNT),
        examples: keys.doc("prompts replied to for training; 0: all").usize(
            "examples",
            0,
            0..=COUNT,
        ),
        valid_examples: keys
            .doc("prompts after those, replied to for validation; 0: none")
            .usize("valid_examples", 0, 0..=COUNT),
        samples: keys
            .doc("replies sampled for each prompt")
            .usize("samples", 8, 2..=SAMPLES),
        margin: keys
            .doc("how much more than the worst reply the best must be worth; 0 drops ties alone")
            .float("margin", 0.0, 0.0..=LARGE),
        reward: RewardSettings::read(keys),
        sampling: SamplingSettings::read(keys),
        rows: RowsSettings {
            shuffle: keys.bool("shuffle", true),
            by_dialogue: Group::read(keys, "none") == Group::Dialogue,
            by_row: false,
        },
    })
}

impl Stage for AiFeedback {
    fn run(&self, context: &Context) -> Result<()> {
        self.reward.guard(context)?;
        let wanted = match self.examples {
            0 => 0,
            examples => {
                let skipped = self.skip.saturating_add(self.valid_examples);
                skipped.saturating_add(examples)
            }
        };
        let mut all = prompts(context.input(&self.data), self.split, wanted, Group::None)?;
        let known = all.len();
        ensure!(
            self.skip.saturating_add(self.valid_examples) < known,
            "skip and valid_examples take {} prompts, but there are {known}",
            self.skip.saturating_add(self.valid_examples),
        );
        all.drain(..self.skip);
        let valid = all.split_off(all.len() - self.valid_examples);
        let mut measures = Measures::default();
        for (split, examples) in [(Split::Train, all), (Split::Valid, valid)] {
            if !examples.is_empty() {
                let pairs = self.pairs(context, split, examples, &mut measures)?;
                write_examples(&context.dir, split, pairs.into_iter().map(Ok))?;
            }
        }
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.model)))?;
        drawn::write(&context.dir, &tokenizer)?;
        write_settings(&context.dir, self.rows)?;
        write_kwargs(&context.dir, &kwargs(context.input(&self.data))?)?;
        measures.write(&context.dir)
    }
}

/// What became of the prompts.
#[derive(Default)]
struct Counts {
    empty: usize,
    repeated: usize,
    alike: usize,
    ties: usize,
    close: usize,
    unfinished: usize,
}

impl AiFeedback {
    fn pairs(
        &self,
        context: &Context,
        split: Split,
        examples: Vec<Example>,
        measures: &mut Measures,
    ) -> Result<Vec<Example>> {
        let name = split.name();
        // Training and validation draw from streams of their own.
        let first = streams::stream(name);
        let requests: Vec<(u64, Prompt)> = examples
            .iter()
            .flat_map(|example| std::iter::repeat_n(&example.prompt, self.samples))
            .zip(0..)
            .map(|(prompt, place)| (first.wrapping_add(place), prompt.clone()))
            .collect();
        let model = (&self.model, &[][..]);
        let sampled = self.sampling.run(context, model, &requests, measures)?;
        let mut counts = Counts::default();
        // Prompts with two distinct replies, and these.
        let mut asked = Vec::with_capacity(examples.len());
        for (example, replies) in examples.into_iter().zip(sampled.chunks(self.samples)) {
            let (mut seen, mut distinct) = (BTreeSet::new(), Vec::new());
            for reply in replies {
                if reply.text.trim().is_empty() {
                    counts.empty += 1;
                } else if !seen.insert(reply.text.trim()) {
                    counts.repeated += 1;
                } else {
                    counts.unfinished += usize::from(!reply.finished);
                    distinct.push(reply);
                }
            }
            match distinct.len() {
                0 | 1 => counts.alike += 1,
                _ => asked.push((example, distinct)),
            }
        }
        let replies_of = |(example, replies): &(Example, Vec<&Sampled>)| {
            let texts = replies.iter().map(|reply| reply.text.clone());
            (example.prompt.clone(), texts.collect())
        };
        let texts: Vec<(Prompt, Vec<String>)> = asked.iter().map(replies_of).collect();
        // Without a reply to score, the reward model is not even read.
        let worth = match texts.is_empty() {
            true => Vec::new(),
            false => {
                let precision = self.sampling.bf16;
                self.reward
                    .rewards_of(context, precision, &texts, measures)?
                    .1
            }
        };

        let mut pairs = Vec::new();
        let (mut best_of, mut worst_of, mut mean_of) = (Vec::new(), Vec::new(), Vec::new());
        for ((example, replies), worth) in asked.into_iter().zip(worth) {
            let by_worth = |a: &usize, b: &usize| worth[*a].reward.total_cmp(&worth[*b].reward);
            let places = || 0..replies.len();
            // Of equals the first sampled.
            let extremes = (places().min_by(by_worth), places().rev().max_by(by_worth));
            let (Some(worst), Some(best)) = extremes else {
                continue;
            };
            let apart = worth[best].reward - worth[worst].reward;
            if apart == 0.0 {
                counts.ties += 1;
            } else if apart < self.margin {
                counts.close += 1;
            } else {
                best_of.push(worth[best].reward);
                worst_of.push(worth[worst].reward);
                let rewards = worth.iter().map(|it| it.reward);
                mean_of.push(rewards.sum::<f64>() / worth.len() as f64);
                let side = |place: usize, role| replies[place].completion(role);
                pairs.push(Example {
                    completions: vec![side(best, Role::Chosen), side(worst, Role::Rejected)],
                    ..example
                });
            }
        }
        ensure!(
            !pairs.is_empty(),
            "no prompt has two replies of different worth by at least {} ({} of {} replies are empty); raise \
             samples or temperature, or lower margin",
            self.margin,
            counts.empty,
            requests.len()
        );
        let Counts {
            empty,
            repeated,
            alike,
            ties,
            close,
            unfinished,
        } = counts;
        measures.note(format!(
            "{name}: {} pairs of {} prompts with {} replies each; prompts dropped: {alike} without two distinct replies, \
             {ties} whose replies tie, {close} with a smaller difference than {}; replies dropped: {empty} empty, \
             {repeated} repeated; {unfinished} kept that max_new_tokens ended",
            pairs.len(),
            requests.len() / self.samples,
            self.samples,
            self.margin
        ));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        for (what, value) in [
            ("pairs", pairs.len() as f64),
            ("alike", alike as f64),
            ("ties", ties as f64),
            ("close", close as f64),
            ("empty", empty as f64),
            ("repeated", repeated as f64),
            ("unfinished", unfinished as f64),
            ("reward_chosen", mean(&best_of)),
            ("reward_rejected", mean(&worst_of)),
            ("reward_mean", mean(&mean_of)),
        ] {
            measures.numbers.insert(format!("{name}_{what}"), value);
        }
        Ok(pairs)
    }
}
