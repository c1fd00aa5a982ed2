//! What scores the replies of reinforcement learning: a reward model, or the oracle of the data's world.

use anyhow::{Context as _, Result, bail};
use rayon::prelude::*;

use crate::data::render::drawn_text;
use crate::data::{Example, Prompt, Tokenizer};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;
use crate::stage::settings::precision::Bf16;
use crate::stage::settings::reward::RewardSource;
use crate::stage::work::judge::oracle::Oracle;
use crate::stage::work::scores::reply_reward::{Reward, scorable};
use crate::train::ppo::{Asked, RewardFunction};

impl RewardSource {
    /// Refuses a reward that cannot be trusted.
    ///
    /// # Errors
    /// See [`RewardSettings::guard`].
    pub fn guard(&self, context: &Context) -> Result<()> {
        match self {
            Self::Model(settings) => settings.guard(context),
            Self::Oracle(_) => Ok(()),
        }
    }

    /// Gets ready to score replies to examples, given with the tokens of their prompts, which come from the artifact
    /// of `data`.
    ///
    /// # Errors
    /// Data without an oracle, or a reward model that cannot be read.
    pub fn open<'a>(
        &'a self,
        context: &'a Context,
        data: &StageRef,
        texts: (&'a [Example], &'a [Vec<u32>], &'a Tokenizer),
        bf16: Bf16,
    ) -> Result<Rewarded<'a>> {
        let (examples, prompts, tokenizer) = texts;
        let source = match self {
            Self::Model(settings) => Source::Model(Box::new(settings.open(context, bf16)?)),
            Self::Oracle(weights) => Source::Oracle(Oracle::of(context.input(data))?, weights),
        };
        Ok(Rewarded {
            source,
            examples,
            prompts,
            tokenizer,
            label: &context.label,
            notes: Vec::new(),
        })
    }
}

enum Source<'a> {
    Model(Box<Reward>),
    Oracle(Oracle, &'a [(String, f64)]),
}

/// A reward, ready to score replies to given examples.
pub struct Rewarded<'a> {
    source: Source<'a>,
    examples: &'a [Example],
    /// The tokens of their prompts.
    prompts: &'a [Vec<u32>],
    tokenizer: &'a Tokenizer,
    label: &'a str,
    /// What the reward model had to say of its first step's texts, and of how many steps' it had any.
    notes: Vec<String>,
}

impl Rewarded<'_> {
    /// Adds what is worth a remark.
    pub fn note(self, measures: &mut Measures) {
        if let Some(first) = self.notes.first() {
            measures.note(format!(
                "{first} (and so in {} steps of sampling)",
                self.notes.len()
            ));
        }
    }
}

impl RewardFunction for Rewarded<'_> {
    fn rewards(&mut self, asked: &[Asked<'_>]) -> Result<Vec<f64>> {
        let texts = asked
            .iter()
            .map(|asked| {
                let prompt = &self.prompts[asked.prompt];
                let text = self.tokenizer.decode_after(prompt, asked.reply)?;
                let said = &self.examples[asked.prompt].prompt;
                drawn_text(said, self.tokenizer, text)
            })
            .collect::<Result<Vec<String>>>()?;
        match &self.source {
            Source::Oracle(oracle, weights) => {
                let worth = |(asked, text): (&Asked<'_>, &String)| {
                    let example = &self.examples[asked.prompt];
                    let scores = oracle.scores(example, text);
                    let scores = scores.with_context(|| format!("example {}", example.id))?;
                    match oracle.rewards(&scores, weights)? {
                        Some(worth) => Ok(worth),
                        None => bail!(
                            "the oracle needs to know what it rewards: name impressions of an impression world, or \
                             take data of a persona world"
                        ),
                    }
                };
                asked.par_iter().zip(&texts).map(worth).collect()
            }
            Source::Model(reward) => {
                let prompts = asked.chunk_by(|a, b| a.prompt == b.prompt);
                let mut replies = texts.iter().map(|text| scorable(text));
                let grouped: Vec<(Prompt, Vec<String>)> = prompts
                    .map(|group| {
                        let prompt = self.examples[group[0].prompt].prompt.clone();
                        (prompt, replies.by_ref().take(group.len()).collect())
                    })
                    .collect();
                let mut measures = Measures::default();
                let worth = reward.rewards(&grouped, self.label, &mut measures, |_| true)?;
                if !measures.notes.is_empty() {
                    self.notes.push(measures.notes.join("; "));
                }
                let worth = worth.context("nothing ends the scoring early")?;
                Ok(worth.into_iter().flatten().map(|it| it.reward).collect())
            }
        }
    }
}
