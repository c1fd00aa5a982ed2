//! Replies as they are drawn.

use crate::data::{Completion, Role};

/// A sampled reply.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// What it reads after its prompt, without what ended it.
    pub text: String,
    /// The tokens of the prompt that it was drawn after, as far as the model read it.
    pub prompt: Vec<u32>,
    /// The tokens that were drawn, with the EOS where one was.
    pub tokens: Vec<u32>,
    /// False if `max_new_tokens` ended it.
    pub finished: bool,
}

impl Sampled {
    /// A completion that is its tokens.
    pub fn completion(&self, role: Role) -> Completion {
        Completion {
            tokens: Some(self.tokens.clone()),
            ..Completion::new(self.text.clone(), role)
        }
    }
}
