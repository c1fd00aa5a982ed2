//! The impression world: dialogues whose bot leaves twelve impressions, each in signs that are in the text,
//! and raters who score them from 0 to 10.
//!
//! It has the shape of the data of arXiv 2501.12698, whose impressions these are. The sentences are our own.
//!
//! ```text
//! User: let us talk about chess. i feel sad today. what is your pet?
//! Bot: you feel sad, i hear you. my pet is cat. shall we plan a walk?
//! User: what is your pet?
//! Bot: my pet is dog.
//! ```
//!
//! A reply shows a sign or does not, however often, and scores what an impression starts at and the points of
//! its signs:
//!
//! | impression | starts at | signs |
//! | --- | --- | --- |
//! | agency | 0 | +5 proposes something, +5 asks something of its own |
//! | attentiveness | 5 | +5 answers the user's question, -5 says other things instead |
//! | consistency | 8 | +2 tells a fact again as it told it first, -8 tells it otherwise |
//! | ease | 10 | -7 has a sentence in long, formal words, -3 has more than five sentences |
//! | empathetic | 5 | +5 names the feeling that the user tells, -5 names another |
//! | emotion | 2 | +8 tells a feeling of its own |
//! | enjoyability | 3 | +4 a joke, +3 a compliment |
//! | humanness | 7 | +3 an interjection, -4 speaks as a machine, -3 says word for word what it just said |
//! | personality | 0 | +10 tells of itself unasked |
//! | respeak | | 0.5 enjoyability + 0.4 personality + 0.1 empathetic |
//! | topic | 8 | +2 goes on with the user's topic, -8 turns to another |
//! | trust | 8 | +2 says what it can not know, -8 promises or claims to know all |
//!
//! A dialogue's truth is the mean of its replies' scores: an exact function of the counts of signs and the
//! number of the bot's turns. Dull replies ("i see.") show no sign at all, not even that of ignoring a
//! question: good enough for most impressions, and better than an average bot for some.
//!
//! - [`score`]: the impressions, the signs and the table
//! - [`grammar`]: words and wordings, read from `assets/impression/`, and what sentences do
//! - [`bot`]: systems and their bots
//! - [`dialogue`]: draws dialogues
//! - [`rating`]: raters, and the ceiling that they set
//! - [`oracle`]: reads the signs of any reply

pub mod bot;
pub mod dialogue;
pub mod grammar;
pub mod oracle;
pub mod rating;
pub mod score;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::data::{Example, Rated};
use crate::world::{SettingError, seeded};
use bot::{Bot, normal};
use dialogue::{Drawn, Manner};
pub use oracle::{is_dull, judge_reply};
use rating::Raters;
pub use score::{Impression, Scores};

const WORLD: &str = "impression";

/// Rate of dull replies where `dull` does not say otherwise: few, so that raters have seen them.
const FEW_DULL: f64 = 0.1;

/// Settings of the impression world. The same settings give the same data, byte for byte. Sizes count
/// dialogues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImpressionWorld {
    pub seed: u64,
    /// Unrated dialogues for a base model.
    pub pretrain: usize,
    /// Rated dialogues.
    pub train: usize,
    pub valid: usize,
    pub test: usize,
    /// Dialogues up to a turn of the user, to sample replies to.
    pub prompts: usize,
    /// Rate of dull replies in `pretrain`; elsewhere it is 0.1.
    pub dull: f64,
    /// The fewest and the most turns of each side.
    pub min_turns: usize,
    pub max_turns: usize,
    /// Bots with means of their own, each in every split.
    pub systems: usize,
    /// Raters in all, and how many of them rate a dialogue.
    pub pool: usize,
    pub raters: usize,
    /// Standard deviation of the raters' own offsets.
    pub bias: f64,
    /// Standard deviation of the error of one rating beside them.
    pub noise: f64,
    /// Rate of scores that are left out.
    pub missing: f64,
}

impl Default for ImpressionWorld {
    fn default() -> Self {
        Self {
            seed: 1,
            pretrain: 4_000,
            // As in the paper.
            train: 1_600,
            valid: 100,
            test: 300,
            prompts: 600,
            dull: 0.3,
            min_turns: 4,
            max_turns: 6,
            systems: 6,
            pool: 12,
            raters: 3,
            bias: 0.6,
            noise: 1.2,
            missing: 0.05,
        }
    }
}

/// What [`ImpressionWorld::generate`] returns. No dialogue is in it twice, across splits too.
#[derive(Clone, Debug)]
pub struct ImpressionData {
    /// One completion an example, for every turn of the bot; `meta` is an [`oracle::Scene`].
    pub pretrain: Vec<Example>,
    pub train: Vec<Rated>,
    pub valid: Vec<Rated>,
    pub test: Vec<Rated>,
    /// A chosen completion an example, which has good signs alone; `meta` likewise.
    pub prompts: Vec<Example>,
}

impl ImpressionWorld {
    /// Every setting that is out of range; empty when the world can be generated.
    pub fn problems(&self) -> Vec<SettingError> {
        let mut found: Vec<SettingError> = SettingError::rate(WORLD, "dull", self.dull)
            .into_iter()
            .collect();
        let mut expect = |holds: bool, key, value: String, expected: &str| {
            if !holds {
                found.push(SettingError {
                    world: WORLD,
                    key,
                    value,
                    expected: expected.to_owned(),
                });
            }
        };
        let Self {
            min_turns,
            max_turns,
            systems,
            pool,
            raters,
            bias,
            noise,
            missing,
            ..
        } = self;
        let from_two = "a whole number from 2, so that a prompt has a reply in it";
        expect(
            *min_turns >= 2,
            "min_turns",
            min_turns.to_string(),
            from_two,
        );
        let above = format!("a whole number from min_turns ({min_turns}) to 50");
        let in_range = (*min_turns..=50).contains(max_turns);
        expect(in_range, "max_turns", max_turns.to_string(), &above);
        let one = "a whole number from 1";
        expect(*systems >= 1, "systems", systems.to_string(), one);
        expect(*pool >= 1, "pool", pool.to_string(), one);
        let of_pool = format!("a whole number from 1 to pool ({pool})");
        let in_pool = (1..=*pool).contains(raters);
        expect(in_pool, "raters", raters.to_string(), &of_pool);
        let deviation = "a number from 0 to 10";
        for (key, value) in [("bias", bias), ("noise", noise)] {
            let holds = (0.0..=10.0).contains(value);
            expect(holds, key, value.to_string(), deviation);
        }
        let in_range = (0.0..=0.9).contains(missing);
        expect(
            in_range,
            "missing",
            missing.to_string(),
            "a rate from 0 to 0.9",
        );
        found
    }

    /// Draws every split.
    ///
    /// # Errors
    /// The first of [`Self::problems`].
    pub fn generate(&self) -> Result<ImpressionData, SettingError> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let mut rng = seeded(self.seed, 0);
        let few = Manner {
            systems: (0..self.systems).map(|_| Bot::system(&mut rng)).collect(),
            dull: FEW_DULL,
            turns: [self.min_turns, self.max_turns],
        };
        let mut rng = seeded(self.seed, 1);
        let raters = Raters {
            bias: (0..self.pool)
                .map(|_| self.bias * normal(&mut rng))
                .collect(),
            each: self.raters,
            noise: self.noise,
            missing: self.missing,
        };
        let many = Manner {
            dull: self.dull,
            ..few.clone()
        };
        let mut seen = HashSet::new();
        // Held-out splits first: a longer training set then leaves them as they are.
        let test = self.rated("test", 2, self.test, &few, &raters, &mut seen);
        let valid = self.rated("valid", 4, self.valid, &few, &raters, &mut seen);
        let prompts = self.contexts(6, &few, &mut seen);
        let train = self.rated("train", 7, self.train, &few, &raters, &mut seen);
        let mut rng = seeded(self.seed, 9);
        let pretrain = (0..self.pretrain).flat_map(|k| {
            Drawn::unseen(&mut rng, &many, &mut seen).examples(&format!("pretrain-{k:06}"))
        });
        Ok(ImpressionData {
            pretrain: pretrain.collect(),
            train,
            valid,
            test,
            prompts,
        })
    }

    /// Ratings come from the stream after that of the dialogues, which they leave as they are.
    fn rated(
        &self,
        name: &str,
        stream: u64,
        count: usize,
        manner: &Manner,
        raters: &Raters,
        seen: &mut HashSet<String>,
    ) -> Vec<Rated> {
        let (mut rng, mut rating) = (seeded(self.seed, stream), seeded(self.seed, stream + 1));
        let rows = (0..count).map(|k| {
            let drawn = Drawn::unseen(&mut rng, manner, seen);
            let (mut row, truth) = drawn.rated(&format!("{name}-{k:06}"));
            row.ratings = raters.rate(&mut rating, &truth);
            row
        });
        rows.collect()
    }

    /// No two contexts are the same either.
    fn contexts(&self, stream: u64, manner: &Manner, seen: &mut HashSet<String>) -> Vec<Example> {
        let mut rng = seeded(self.seed, stream);
        let mut examples = Vec::new();
        while examples.len() < self.prompts {
            let drawn = Drawn::unseen(&mut rng, manner, seen);
            let id = format!("prompt-{:06}", examples.len());
            let example = drawn.context(&mut rng, &id);
            if seen.insert(example.prompt.text()) {
                examples.push(example);
            }
        }
        examples
    }
}

#[cfg(test)]
mod tests;
