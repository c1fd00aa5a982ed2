//! The persona world: two-party dialogues in which the bot holds a persona of three or four facts.
//!
//! It has the shape of PersonaChat (Zhang et al. 2018, arXiv 1801.07243) and, for the ranking items, of
//! Dialogue-NLI (Welleck et al. 2019, arXiv 1811.00671). The sentences are our own.
//!
//! - [`families`]: attribute families (pet, job, ...) and small talk, read from `assets/persona/`
//! - [`dialogue`]: draws dialogues
//! - [`ranking`]: draws ranking items
//! - [`oracle`]: judges any reply against a persona

pub mod dialogue;
pub mod families;
pub mod oracle;
pub mod ranking;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::data::{Dialogue, RankingItem};
use crate::world::{SettingError, seeded};
use dialogue::{Draft, Manner};
use families::Grammar;

const WORLD: &str = "persona";

/// How the contradicting candidates of a ranking item are worded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contradictions {
    /// Each repeats the wording of a true candidate, the gold's always included, so that wording alone
    /// favours neither label.
    #[default]
    Mirrored,
    /// Each is worded as a bot would word a reply, so that the likeliest wording comes with several false
    /// values and only one true one: a harder test.
    Drawn,
}

/// Settings of the persona world. The same settings give the same data, byte for byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonaWorld {
    pub seed: u64,
    /// Clean dialogues for a base model that can copy from its prompt.
    pub pretrain: usize,
    /// Dialogues to fine-tune on, with `ungrounded` replies.
    pub train: usize,
    /// As `train`.
    pub valid: usize,
    /// Clean dialogues.
    pub test: usize,
    pub ranking_items: usize,
    /// Rate at which the answer to a persona question names another value, in `train` and `valid`.
    pub ungrounded: f64,
    /// Zipf exponent of those other values: 0 draws all alike, more makes some values popular, as
    /// people's answers are. Personas draw their values all alike.
    pub popularity: f64,
    /// Rate at which an answer repeats its persona sentence's wording instead of drawing one.
    pub reuse: f64,
    /// Entailing, contradicting and random candidates of a ranking item: this many of each, beside the gold.
    pub candidates_per_label: usize,
    pub contradictions: Contradictions,
}

impl Default for PersonaWorld {
    fn default() -> Self {
        Self {
            seed: 1,
            pretrain: 20_000,
            train: 6_000,
            valid: 500,
            test: 500,
            ranking_items: 500,
            ungrounded: 0.5,
            popularity: 0.0,
            reuse: 0.7,
            candidates_per_label: 10,
            contradictions: Contradictions::default(),
        }
    }
}

/// What [`PersonaWorld::generate`] returns. No two dialogues in it are the same, across splits too, and no
/// ranking item is cut from one of them.
#[derive(Clone, Debug)]
pub struct PersonaData {
    pub pretrain: Vec<Dialogue>,
    pub train: Vec<Dialogue>,
    pub valid: Vec<Dialogue>,
    pub test: Vec<Dialogue>,
    pub ranking: Vec<RankingItem>,
}

impl PersonaWorld {
    /// Every setting that is out of range; empty when the world can be generated.
    pub fn problems(&self) -> Vec<SettingError> {
        let mut found = Vec::new();
        for (key, rate) in [("ungrounded", self.ungrounded), ("reuse", self.reuse)] {
            found.extend(SettingError::rate(WORLD, key, rate));
        }
        if !(0.0..=4.0).contains(&self.popularity) {
            found.push(SettingError {
                world: WORLD,
                key: "popularity",
                value: self.popularity.to_string(),
                expected: "an exponent from 0 to 4".into(),
            });
        }
        let most = Grammar::get().most_false_values();
        if !(1..=most).contains(&self.candidates_per_label) {
            found.push(SettingError {
                world: WORLD,
                key: "candidates_per_label",
                value: self.candidates_per_label.to_string(),
                expected: format!("1 to {most}, the false values of the smallest attribute family"),
            });
        }
        found
    }

    /// Draws every split and the ranking items.
    ///
    /// # Errors
    /// The first of [`Self::problems`].
    pub fn generate(&self) -> Result<PersonaData, SettingError> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let clean = Manner {
            ungrounded: 0.0,
            popularity: self.popularity,
            reuse: self.reuse,
        };
        let noisy = Manner {
            ungrounded: self.ungrounded,
            popularity: self.popularity,
            reuse: self.reuse,
        };
        let mut seen = HashSet::new();
        // Held-out splits first: a longer training set then leaves them as they are.
        let ranking = ranking::items(self, &clean, &mut seeded(self.seed, 0), &mut seen);
        let test = self.split("test", 1, self.test, &clean, &mut seen);
        let valid = self.split("valid", 2, self.valid, &noisy, &mut seen);
        let train = self.split("train", 3, self.train, &noisy, &mut seen);
        let pretrain = self.split("pretrain", 4, self.pretrain, &clean, &mut seen);
        Ok(PersonaData {
            pretrain,
            train,
            valid,
            test,
            ranking,
        })
    }

    fn split(
        &self,
        name: &str,
        stream: u64,
        count: usize,
        manner: &Manner,
        seen: &mut HashSet<String>,
    ) -> Vec<Dialogue> {
        let mut rng = seeded(self.seed, stream);
        (0..count)
            .map(|k| Draft::unseen(&mut rng, manner, seen).dialogue(&format!("{name}-{k:06}")))
            .collect()
    }
}

#[cfg(test)]
mod tests;
