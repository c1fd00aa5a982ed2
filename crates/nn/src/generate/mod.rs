//! The generation engine: token ids in, token ids out, with continuous batching over a key-value
//! cache.

mod engine;
mod growing;
mod lengths;
mod prompts;
mod request;
mod sampler;
mod slots;

use crate::model::Decoder;
use crate::ops::Ops;
use engine::Engine;
use lengths::{lengths, uncached};
pub use request::{Reply, Request};
pub use sampler::Sampling;

/// Raised when the same prompt, seed and stream begin to give another reply, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// Draws one reply for each request, at most `batch` at a time: where one ends, the next begins.
/// Prompts that begin alike are computed once, so that several requests of one prompt cost one.
///
/// `keep_going` is told before every step, and at the end, how many replies are complete. Once it says no, nothing
/// more is drawn and there is no result.
///
/// # Panics
///
/// If a prompt is empty.
pub fn generate<B: Ops>(
    model: &Decoder<B>,
    requests: &[Request],
    sampling: &Sampling,
    seed: u64,
    batch: usize,
    device: &B::Device,
    mut keep_going: impl FnMut(usize) -> bool,
) -> Option<Vec<Reply>> {
    let Some(lengths) = lengths(model, requests, sampling) else {
        return cached(model, requests, sampling, (seed, batch), device, keep_going);
    };
    let mut replies = vec![Reply::default(); requests.len()];
    let mut complete = 0;
    let mut fill = |places: &[usize], found: Vec<Reply>| {
        complete += found.len();
        places
            .iter()
            .zip(found)
            .for_each(|(place, reply)| replies[*place] = reply);
        complete
    };
    let mut before = 0;
    for places in &lengths.alike {
        let own: Vec<Request> = places
            .iter()
            .map(|place| requests[*place].clone())
            .collect();
        let going = |complete: usize| keep_going(before + complete);
        let found = cached(model, &own, sampling, (seed, batch), device, going)?;
        before = fill(places, found);
    }
    let own: Vec<&Request> = lengths
        .crossing
        .iter()
        .map(|place| &requests[*place])
        .collect();
    let going = |complete: usize| keep_going(before + complete);
    let found = uncached(model, &own, sampling, (seed, batch.max(1)), going)?;
    fill(&lengths.crossing, found);
    Some(replies)
}

/// [`generate`] for requests that may share a cache.
fn cached<B: Ops>(
    model: &Decoder<B>,
    requests: &[Request],
    sampling: &Sampling,
    (seed, batch): (u64, usize),
    device: &B::Device,
    mut keep_going: impl FnMut(usize) -> bool,
) -> Option<Vec<Reply>> {
    let mut engine = Engine::new(model, requests, sampling, seed, batch.max(1), device);
    loop {
        if !keep_going(engine.complete()) {
            return None;
        }
        if !engine.advance() {
            return Some(engine.into_replies());
        }
    }
}
