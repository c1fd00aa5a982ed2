//! Stages: the only place where files become values and values become files. One file a kind.

pub mod corpus;
mod dpo;
mod failures;
mod fit;
mod folder;
mod guardrail_world;
mod impression_world;
pub mod judge_keys;
mod judged;
mod judging;
pub mod keys;
pub mod kind;
mod kto;
pub mod loss_keys;
mod measures;
mod memory;
mod oracle;
mod pairs;
mod perplexity;
mod persona_files;
mod persona_world;
mod prefer;
mod pretrained;
mod preview;
mod rank;
pub mod rated_set;
mod ratings;
pub mod replied;
mod replies;
mod rows;
mod sampling;
mod scratch;
mod sft;
mod star_files;
mod tokenizer;
mod tournament;
mod verdicts;
mod world_keys;

pub use measures::Measures;

use kind::Kind;

/// Every kind of stage that a recipe can name.
pub const KINDS: &[Kind] = &[
    dpo::KIND,
    failures::KIND,
    guardrail_world::KIND,
    impression_world::KIND,
    judged::KIND,
    kto::KIND,
    pairs::KIND,
    perplexity::KIND,
    persona_world::KIND,
    persona_files::KIND,
    pretrained::KIND,
    rank::KIND,
    ratings::KIND,
    replies::KIND,
    rows::PREFERENCES,
    rows::COMPLETIONS,
    rows::LABELS,
    scratch::KIND,
    sft::KIND,
    star_files::KIND,
    tokenizer::KIND,
    tournament::KIND,
];
