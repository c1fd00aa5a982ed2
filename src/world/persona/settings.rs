//! Settings of the persona world.

use serde::{Deserialize, Serialize};

use super::families::Grammar;
use crate::world::SettingError;

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
}
