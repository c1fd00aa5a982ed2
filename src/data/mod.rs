//! Records, readers, templates, tokenisation, and the forest of prefix trees.

pub mod chat;
pub mod convai2;
pub mod dialogue_nli;
pub mod encode;
pub mod leak;
mod lines;
mod records;
pub mod rows;
pub mod synthetic_persona_chat;
pub mod template;
mod tokenizer;

pub use lines::BadLines;
pub use records::{Completion, Dialogue, Example, Prompt, RankingItem, Role, Speaker, Turn};
pub use tokenizer::{Encoding, Tokenizer};
