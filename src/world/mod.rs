//! Worlds: generators of dialogues whose truth is known, each with an exact oracle.
//!
//! A world stands in for a public data set where none can be downloaded: it is small enough for a model
//! trained from scratch on a CPU, and an oracle can say of any reply whether it is true.

pub mod guardrail;
pub mod impression;
pub mod persona;
mod wording;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub use wording::{Phrase, any, pick};

/// Raised when an oracle begins to judge the same reply otherwise, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// The draws of one part of a world's data, which draws of other parts leave as they are.
fn seeded(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// A setting of a world outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{world} world: `{key}` is {value}, expected {expected}")]
pub struct SettingError {
    pub world: &'static str,
    pub key: &'static str,
    pub value: String,
    pub expected: String,
}

impl SettingError {
    /// The error of a rate that does not lie between 0 and 1.
    fn rate(world: &'static str, key: &'static str, rate: f64) -> Option<Self> {
        (!(0.0..=1.0).contains(&rate)).then(|| Self {
            world,
            key,
            value: rate.to_string(),
            expected: "a rate from 0 to 1".into(),
        })
    }
}
