//! One text under way: a prompt, and what was drawn after it so far.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::generate::{Reply, Request, Sampling};

pub(super) struct Growing {
    /// Prompt and reply so far.
    pub(super) tokens: Vec<u32>,
    prompt: usize,
    /// At most this many tokens in all.
    limit: usize,
    rng: ChaCha8Rng,
    /// The stop token that ended it.
    end: Option<u32>,
}

impl Growing {
    pub(super) fn begin(request: &Request, limit: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(request.stream);
        Self {
            tokens: request.prompt.clone(),
            prompt: request.prompt.len(),
            limit,
            rng,
            end: None,
        }
    }

    /// Draws the next token.
    pub(super) fn draw(&mut self, logits: &mut [f32], sampling: &Sampling) {
        let new = self.tokens.len() - self.prompt;
        let token = sampling.next(logits, &self.tokens, new, &mut self.rng);
        if sampling.stop.contains(&token) {
            self.end = Some(token);
        } else {
            self.tokens.push(token);
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.end.is_some() || self.tokens.len() >= self.limit
    }

    pub(super) fn into_reply(self) -> Reply {
        Reply {
            tokens: self.tokens[self.prompt..].to_vec(),
            end: self.end,
        }
    }
}
