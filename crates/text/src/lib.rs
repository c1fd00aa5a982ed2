//! Records, readers, templates, tokenisation, and the forest of prefix trees.
// What is printed goes through `print` and `say` of the store: a closed pipe must end nothing.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod archive;
pub mod caught;
pub mod chat;
pub mod convai2;
mod csv;
pub mod dialogue_nli;
mod dialogues;
pub mod dstc9;
pub mod encode;
pub mod jinja;
pub mod leak;
mod lines;
pub mod nli;
pub mod rated;
pub mod rated_table;
pub mod real_persona_chat;
mod records;
#[cfg(test)]
mod reference_tests;
pub mod render;
mod row_json;
mod row_stream;
pub mod rows;
pub mod star;
pub mod synthetic_persona_chat;
pub mod template;
pub mod to_score;
mod tokenizer;
pub mod utterances;

pub use lines::BadLines;
pub use rated::{Rated, Rating, Scale};
pub use records::{
    Completion, Dialogue, Example, History, Prompt, RankingItem, Role, Said, Speaker, Turn, Verdict,
};
pub use row_stream::{Examples, Reading};
pub use tokenizer::{Encoding, Tokenizer, VERSION as TOKENIZER_VERSION};
