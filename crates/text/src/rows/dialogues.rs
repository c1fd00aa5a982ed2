//! Which rows of a file belong to one dialogue: those whose prompts go on from one another.
//!
//! A dialogue written as one row a turn repeats itself: each prompt begins with the one before. The
//! prompts that one prompt begins with all begin with the shortest of them, which therefore names the
//! dialogue. Prompts are known by fingerprint, so that a file need not fit in memory.

use std::collections::HashSet;

/// The prompts of a file, 16 bytes each.
#[derive(Debug, Default)]
pub struct Prompts {
    known: HashSet<u128>,
    /// Whether any prompt has this many bytes.
    lengths: Vec<bool>,
}

impl Prompts {
    /// Adds a prompt. An empty one is left out, since every text begins with it.
    pub fn add(&mut self, prompt: &str) {
        let Some((length, fingerprint)) = prefixes(prompt).last() else {
            return;
        };
        if self.lengths.len() <= length {
            self.lengths.resize(length + 1, false);
        }
        self.lengths[length] = true;
        self.known.insert(fingerprint);
    }

    /// The fingerprint of the shortest known prompt that `prompt` begins with, itself included: equal
    /// for prompts of one dialogue, and for them alone.
    pub fn opening(&self, prompt: &str) -> Option<u128> {
        prefixes(prompt)
            .take_while(|(length, _)| *length < self.lengths.len())
            .filter(|(length, _)| self.lengths[*length])
            .map(|(_, fingerprint)| fingerprint)
            .find(|fingerprint| self.known.contains(fingerprint))
    }
}

/// Length and fingerprint of every beginning of a text but the empty one: two polynomials in the bytes,
/// modulo the prime 2^61 - 1 (Karp and Rabin, 1987), so that each follows from the last.
fn prefixes(text: &str) -> impl Iterator<Item = (usize, u128)> {
    const PRIME: u128 = (1 << 61) - 1;
    const BASES: [u128; 2] = [0x0bf3_5d1b_79a1_6e2d, 0x1c6d_2a9f_58e3_b047];
    let mut sums = [0; 2];
    text.bytes().enumerate().map(move |(index, byte)| {
        for (sum, base) in sums.iter_mut().zip(BASES) {
            // A zero byte counts too, hence the one.
            *sum = (*sum * base + u128::from(byte) + 1) % PRIME;
        }
        (index + 1, sums[0] << 61 | sums[1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prompts_that_go_on_from_one_another_share_their_opening() {
        let mut prompts = Prompts::default();
        let all = [
            "a: hi\nb:",
            "a: hi\nb: ho\na: so\nb:",
            "a: hi\nb: no\na: why\nb:",
            "a: he\nb:",
            "",
        ];
        for prompt in all {
            prompts.add(prompt);
        }
        let openings = all.map(|prompt| prompts.opening(prompt));
        assert!(openings[0].is_some());
        // Two that part after a third are one dialogue through it.
        assert_eq!(openings[1], openings[0]);
        assert_eq!(openings[2], openings[0]);
        assert_ne!(openings[3], openings[0]);
        assert_eq!(openings[4], None);
    }

    proptest! {
        /// The same as following "is a prefix of" from prompt to prompt, in either direction.
        #[test]
        fn openings_partition_prompts_like_chains_of_prefixes(
            texts in prop::collection::vec("[ab]{0,5}", 1..20),
        ) {
            let mut prompts = Prompts::default();
            for text in &texts {
                prompts.add(text);
            }
            let mut dialogue: Vec<usize> = (0..texts.len()).collect();
            for (i, one) in texts.iter().enumerate() {
                for (j, other) in texts.iter().enumerate() {
                    if !one.is_empty() && other.starts_with(one.as_str()) {
                        let (from, to) = (dialogue[j], dialogue[i]);
                        dialogue.iter_mut().filter(|d| **d == from).for_each(|d| *d = to);
                    }
                }
            }
            for (i, one) in texts.iter().enumerate() {
                for (j, other) in texts.iter().enumerate() {
                    let same = prompts.opening(one) == prompts.opening(other);
                    let both_empty = one.is_empty() && other.is_empty();
                    prop_assert_eq!(same, dialogue[i] == dialogue[j] || both_empty, "{:?} {:?}", one, other);
                }
            }
        }
    }
}
