//! Stages: the only place where files become values and values become files. One file a kind.

pub mod corpus;
mod dpo;
mod fit;
mod folder;
pub mod keys;
pub mod kind;
mod measures;
mod memory;
mod pairs;
mod perplexity;
mod persona_files;
mod persona_world;
mod pretrained;
mod preview;
mod rank;
pub mod replies;
mod rows;
mod sampling;
mod scratch;
mod sft;
mod star_files;
mod tokenizer;

pub use measures::Measures;

use kind::Kind;

/// Every kind of stage that a recipe can name.
pub const KINDS: &[Kind] = &[
    dpo::KIND,
    pairs::KIND,
    perplexity::KIND,
    persona_world::KIND,
    persona_files::KIND,
    pretrained::KIND,
    rank::KIND,
    replies::KIND,
    rows::PREFERENCES,
    rows::COMPLETIONS,
    scratch::KIND,
    sft::KIND,
    star_files::KIND,
    tokenizer::KIND,
];
