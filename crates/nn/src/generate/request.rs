//! What a generation is asked for, and what it gives.

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
