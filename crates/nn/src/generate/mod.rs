//! The generation engine: token ids in, token ids out, with continuous batching over a key-value
//! cache.

mod engine;
mod prompts;
mod sampler;
mod slots;

use crate::model::Decoder;
use crate::ops::Ops;
use engine::Engine;
pub use sampler::Sampling;

/// Raised when the same prompt, seed and stream begin to give another reply, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// A prompt to go on from.
#[derive(Clone, Debug)]
pub struct Request {
    /// At least one token.
    pub prompt: Vec<u32>,
    /// Which stream of the seed this prompt draws from. The draw depends on seed, stream and prompt,
    /// never on what else is in the batch.
    pub stream: u64,
}

/// What came after a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// New tokens, without the one that ended the reply.
    pub tokens: Vec<u32>,
    /// The stop token that ended it; nothing where `max_new_tokens` or the model's context did.
    pub end: Option<u32>,
}

impl Reply {
    /// Whether it ended by itself.
    pub fn finished(&self) -> bool {
        self.end.is_some()
    }

    /// Every token that was drawn, the one that ended it among them.
    pub fn into_drawn(self) -> Vec<u32> {
        let mut drawn = self.tokens;
        drawn.extend(self.end);
        drawn
    }
}

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
