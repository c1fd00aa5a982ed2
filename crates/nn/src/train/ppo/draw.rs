//! What is drawn at which step: functions of seed and step, so that no order is ever stored.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Streams of the seed from here on are orders of prompts, by epoch.
const PROMPTS: u64 = 1 << 62;

/// Streams of the seed from here on are orders of a step's groups, by step and epoch. All below are replies.
const GROUPS: u64 = 1 << 63;

/// The prompts of a step, counted from 0: `wanted` of `prompts`, which are gone through in a new order each
/// time.
pub fn prompts(prompts: usize, wanted: usize, seed: u64, step: usize) -> Vec<usize> {
    let mut order = (usize::MAX, Vec::new());
    (step * wanted..(step + 1) * wanted)
        .map(|place| {
            let epoch = place / prompts;
            if order.0 != epoch {
                order = (epoch, shuffled(prompts, seed, PROMPTS + epoch as u64));
            }
            order.1[place % prompts]
        })
        .collect()
}

/// The stream that a step's reply is drawn from, of `size` replies a step.
pub fn stream(step: usize, size: usize, reply: usize) -> u64 {
    (step * size + reply) as u64
}

/// The order in which one epoch of a step's updates goes through its `groups` of replies.
pub fn groups(groups: usize, seed: u64, step: usize, epoch: usize) -> Vec<usize> {
    let stream = GROUPS + ((step as u64) << 16) + epoch as u64;
    shuffled(groups, seed, stream)
}

fn shuffled(count: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prompt_comes_once_an_epoch_across_steps() {
        let drawn: Vec<usize> = (0..7).flat_map(|step| prompts(14, 4, 3, step)).collect();
        for epoch in drawn.chunks(14) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..14));
        }
        assert_ne!(drawn[..14], drawn[14..]);
        assert_eq!(prompts(14, 4, 3, 5), prompts(14, 4, 3, 5));
        assert_ne!(prompts(14, 4, 3, 0), prompts(14, 4, 4, 0));
        // More than there are, in one step.
        assert_eq!(prompts(2, 6, 0, 0).iter().filter(|&&p| p == 0).count(), 3);
    }

    #[test]
    fn orders_and_streams_are_each_steps_own() {
        assert_ne!(groups(16, 1, 0, 0), groups(16, 1, 0, 1));
        assert_ne!(groups(16, 1, 0, 0), groups(16, 1, 1, 0));
        let streams = (0..3).flat_map(|step| (0..5).map(move |reply| stream(step, 5, reply)));
        assert!(streams.eq(0..15));
    }
}
