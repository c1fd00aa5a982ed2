//! What the worlds' grammars share: weighted wordings, and text as sentences.

use rand::Rng;
use serde::Deserialize;

/// A sentence with its relative likelihood; `{v}` stands for a value.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "(String, u32)")]
pub struct Phrase {
    pub pattern: String,
    pub weight: u32,
}

impl From<(String, u32)> for Phrase {
    fn from((pattern, weight): (String, u32)) -> Self {
        Self { pattern, weight }
    }
}

impl Phrase {
    /// The slot for a value.
    pub const SLOT: &str = "{v}";

    /// The sentence for one value.
    pub fn with(&self, value: &str) -> String {
        self.pattern.replace(Self::SLOT, value)
    }

    /// One of `phrases` in proportion to their weights, of which at least one is positive.
    pub fn draw<'a, R: Rng>(rng: &mut R, phrases: &'a [Self]) -> &'a Self {
        &phrases[pick(rng, phrases.iter().map(|phrase| phrase.weight))]
    }
}

/// An index drawn in proportion to `weights`, of which at least one is positive.
pub fn pick<R: Rng>(rng: &mut R, weights: impl Iterator<Item = u32> + Clone) -> usize {
    let mut ticket = rng.random_range(0..weights.clone().sum::<u32>());
    for (index, weight) in weights.enumerate() {
        if ticket < weight {
            return index;
        }
        ticket -= weight;
    }
    unreachable!("a ticket lies below the sum of the weights")
}

/// One of some words, of which there must be one.
pub fn any<R: Rng>(rng: &mut R, words: &[String]) -> String {
    words[rng.random_range(0..words.len())].clone()
}

/// The sentences of a text, each with its full stop or mark, set apart by one space.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut rest = text.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let end = rest
            .match_indices(". ")
            .chain(rest.match_indices("? "))
            .chain(rest.match_indices("! "))
            .map(|(at, _)| at + 1)
            .min()
            .unwrap_or(rest.len());
        found.push(&rest[..end]);
        rest = rest[end..].strip_prefix(' ').unwrap_or(&rest[end..]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pick_follows_the_weights() {
        use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut counts = [0_i32; 3];
        for _ in 0..6_000 {
            counts[pick(&mut rng, [1, 0, 5].into_iter())] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((counts[0] - 1_000).abs() < 100, "{counts:?}");
    }

    #[test]
    fn sentences_end_with_their_mark_and_one_space() {
        assert_eq!(sentences(" a b. c? d! e "), ["a b.", "c?", "d!", "e"]);
        assert_eq!(sentences("a.  b"), ["a.", " b"]);
        assert_eq!(sentences("a.b."), ["a.b."]);
        assert!(sentences("  ").is_empty());
    }
}
