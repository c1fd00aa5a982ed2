//! Records, readers, templates, tokenisation, and the forest of prefix trees.

pub mod encode;
pub mod forest;
mod records;
pub mod rows;
pub mod template;
mod tokenizer;

pub use records::{Completion, Dialogue, Example, Prompt, RankingItem, Role, Speaker, Turn};
pub use tokenizer::Tokenizer;
