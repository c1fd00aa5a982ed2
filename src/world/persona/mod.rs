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
mod settings;

use std::collections::HashSet;

use crate::data::{Dialogue, RankingItem};
use crate::world::{SettingError, seeded};
use dialogue::{Draft, Manner};

pub use settings::{Contradictions, PersonaWorld};

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
