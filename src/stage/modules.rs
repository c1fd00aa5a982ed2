//! The shared modules behind each kind's results. Their versions are part of a stage's identity, so that a change of
//! what they do leaves old artifacts alone, as raising a kind's own version does.

use crate::{data, generate, judge, model, train, world};

/// A module that several kinds compute with, and its version.
pub type Module = (&'static str, u32);

const CHAT: Module = ("chat", data::chat::VERSION);
const ENCODE: Module = ("encode", data::encode::VERSION);
const GENERATE: Module = ("generate", generate::VERSION);
const JUDGE: Module = ("judge", judge::VERSION);
const MODEL: Module = ("model", model::VERSION);
pub const ORACLE: Module = ("oracle", world::VERSION);
const PPO: Module = ("ppo", train::ppo::VERSION);
pub const TEMPLATE: Module = ("template", data::template::VERSION);
const TOKENIZER: Module = ("tokenizer", data::TOKENIZER_VERSION);
const TRAIN: Module = ("train", train::VERSION);

pub const READING: &[Module] = &[CHAT];
pub const TOKENS: &[Module] = &[TOKENIZER];
pub const MODELS: &[Module] = &[TOKENIZER, MODEL];
/// What log-probabilities and scores of texts come from.
pub const SCORING: &[Module] = &[CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL];
pub const TRAINING: &[Module] = &[CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL, TRAIN];
pub const SAMPLING: &[Module] = &[CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL, GENERATE, ORACLE];
pub const JUDGING: &[Module] = &[
    CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL, GENERATE, ORACLE, JUDGE,
];
pub const REINFORCING: &[Module] = &[
    CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL, TRAIN, GENERATE, ORACLE, PPO,
];
