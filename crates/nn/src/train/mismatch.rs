//! Mismatched completions, from which KTO estimates how far the policy has moved from its reference
//! (Ethayarajh et al., arXiv 2402.01306, section 4.2).

use anyhow::{Context as _, Result};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::model::forest::Branch;
use crate::train::{Examples, ExamplesWriter};

/// Gives each example, whose first sequence alone is read, a second one: its own prompt with the
/// completion of another example, which `seed` draws once from all of them, whatever batches they
/// will be in. Examples of the same prompt are never matched with one another. A completion is cut
/// to `max_length` with its new prompt; returned is also how many were.
///
/// # Errors
///
/// When all examples have the same prompt, or the examples cannot be written.
pub fn with_mismatches(
    examples: &Examples,
    seed: u64,
    max_length: usize,
    mut writer: ExamplesWriter,
) -> Result<(Examples, usize)> {
    let partners = partners(examples, seed).context(
        "all examples have the same prompt, but the KL estimate needs completions of other prompts",
    )?;
    let mut cut = 0;
    let (mut tokens, mut unscored) = (Vec::new(), Vec::new());
    for (example, &partner) in partners.iter().enumerate() {
        let own = first(examples, example);
        let other = first(examples, partner);
        tokens.clear();
        tokens.extend_from_slice(&own.tokens[..own.scored_from]);
        tokens.extend_from_slice(&other.tokens[other.scored_from..]);
        if tokens.len() > max_length {
            tokens.truncate(max_length.max(own.scored_from + 1));
            cut += 1;
        }
        unscored.clear();
        let moved = |place: &u32| {
            let place = *place as usize - other.scored_from + own.scored_from;
            place.min(tokens.len()) as u32
        };
        let gaps = other
            .unscored
            .iter()
            .map(|[from, to]| [moved(from), moved(to)]);
        unscored.extend(gaps.filter(|[from, to]| from < to));
        let mut mismatched = Branch {
            tokens: &tokens,
            scored_from: own.scored_from,
            unscored: &unscored,
        };
        // Where the cut leaves nothing that is scored, all that is left is.
        if mismatched.scored() == 0 {
            mismatched.unscored = &[];
        }
        writer.push([own, mismatched])?;
    }
    let mut matched = writer.finish()?;
    matched.set_desirable((0..examples.len()).filter_map(|it| examples.desirable(it)));
    Ok((matched, cut))
}

/// For each example the one whose completion it is given: the next with another prompt on a random
/// circle through all of them. Nothing where there is no other prompt.
fn partners(examples: &Examples, seed: u64) -> Option<Vec<usize>> {
    let count = examples.len();
    let mut circle: Vec<usize> = (0..count).collect();
    circle.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut partners = vec![0; count];
    for (place, &example) in circle.iter().enumerate() {
        let after = circle[place + 1..].iter().chain(&circle[..place]);
        let own = prompt(examples, example);
        partners[example] = *after
            .into_iter()
            .find(|&&other| prompt(examples, other) != own)?;
    }
    Some(partners)
}

fn first(examples: &Examples, example: usize) -> Branch<'_> {
    let mut branches = examples.branches(example);
    branches.next().expect("an example has a completion")
}

fn prompt(examples: &Examples, example: usize) -> &[u32] {
    let branch = first(examples, example);
    &branch.tokens[..branch.scored_from]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Sequence, TrainExample};

    /// Examples of these prompts, whose completions have 3 tokens and name them.
    fn set(prompts: &[u32]) -> Examples {
        let one = |(index, &prompt): (usize, &u32)| TrainExample {
            sequences: vec![Sequence {
                tokens: vec![prompt, prompt, 100 + index as u32, 100, 99],
                scored_from: 2,
            }],
            reference: Vec::new(),
        };
        let mut set: Examples = prompts.iter().enumerate().map(one).collect();
        set.set_desirable((0..prompts.len()).map(|index| index % 2 == 0));
        set
    }

    fn matched(prompts: &[u32], seed: u64, max_length: usize) -> (Examples, usize) {
        let set = set(prompts);
        with_mismatches(&set, seed, max_length, ExamplesWriter::memory()).unwrap()
    }

    fn mismatch(examples: &Examples, example: usize) -> Vec<u32> {
        examples.branches(example).nth(1).unwrap().tokens.to_vec()
    }

    #[test]
    fn each_prompt_is_given_a_completion_of_another() {
        let prompts = [1, 1, 1, 2, 3, 3, 4];
        let (set, cut) = matched(&prompts, 5, 5);
        assert_eq!((set.len(), set.sequences(), cut), (7, 14, 0));
        for (example, &prompt) in prompts.iter().enumerate() {
            let tokens = mismatch(&set, example);
            assert_eq!(tokens[..2], [prompt, prompt]);
            assert_eq!(tokens[3..], [100, 99]);
            let from = prompts[(tokens[2] - 100) as usize];
            assert_ne!(from, prompt, "example {example}");
            assert_eq!(set.desirable(example), Some(example % 2 == 0));
        }
    }

    #[test]
    fn the_draw_follows_the_seed() {
        let prompts: Vec<u32> = (0..20).collect();
        let drawn = |seed| -> Vec<Vec<u32>> {
            let (set, _) = matched(&prompts, seed, 9);
            (0..20).map(|example| mismatch(&set, example)).collect()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let mut used: Vec<u32> = drawn(1).iter().map(|tokens| tokens[2]).collect();
        used.sort();
        assert_eq!(used, (100..120).collect::<Vec<_>>(), "each is used once");
    }

    #[test]
    fn too_long_a_completion_is_cut_but_never_to_nothing() {
        let (set, cut) = matched(&[1, 2], 1, 4);
        assert_eq!((mismatch(&set, 0).len(), cut), (4, 2));
        let (set, _) = matched(&[1, 2], 1, 2);
        assert_eq!(mismatch(&set, 0).len(), 3);
    }

    #[test]
    fn one_prompt_alone_cannot_be_matched() {
        for prompts in [&[1][..], &[1, 1, 1], &[]] {
            let set = set(prompts);
            let found = with_mismatches(&set, 1, 9, ExamplesWriter::memory());
            assert_eq!(found.is_err(), !prompts.is_empty());
        }
    }
}
