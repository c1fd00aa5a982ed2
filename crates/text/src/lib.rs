//! Records, readers, templates, tokenisation, and the forest of prefix trees.
// What is printed goes through `print` and `say` of the store: a closed pipe must end nothing.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod archive;
pub mod caught;
pub mod chat;
pub mod encode;
pub mod formats;
pub mod jinja;
pub mod leak;
mod lines;
pub mod rated;
mod readers;
mod records;
#[cfg(test)]
mod reference_tests;
pub mod render;
pub mod rows;
pub mod star;
pub mod survey;
pub mod template;
pub mod to_score;
mod tokenizer;

pub use lines::BadLines;
pub use rated::{Rated, Rating, Scale, table as rated_table, utterances};
pub use readers::{
    convai2, dialogue_nli, dstc9, nli, real_persona_chat, real_persona_chat_personas,
    synthetic_persona_chat,
};
pub use records::{
    Completion, Dialogue, Example, History, Prompt, RankingItem, Role, Said, Speaker, Turn, Verdict,
};
pub use rows::{Examples, Reading};
pub use tokenizer::{Encoding, TokenKind, Tokenizer, VERSION as TOKENIZER_VERSION, Vocabulary};
