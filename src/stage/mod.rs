//! Stages: the only place where files become values and values become files. One file a kind.

pub mod agreement;
mod agrees;
mod ai_feedback;
mod aif;
pub mod corpus;
mod cuts;
mod dpo;
mod drawn;
mod dullness;
#[cfg(test)]
mod edge_tests;
mod failures;
mod fit;
mod folder;
mod generation;
mod guardrail_world;
mod held_out;
mod impression_world;
pub mod judge_keys;
mod judged;
mod judging;
pub mod keys;
pub mod kind;
mod kto;
mod limits;
pub mod loss_keys;
mod measures;
pub mod memory;
pub mod modules;
mod moved;
mod nli;
mod oracle;
mod pairs;
mod perplexity;
mod persona_files;
mod persona_world;
mod ppo;
mod ppo_keys;
mod precision;
mod prefer;
mod pretrained;
mod preview;
mod prompted_ratings;
mod rank;
pub mod rated_set;
mod ratings;
pub mod replied;
mod replies;
mod reward;
mod reward_model;
mod rewarding;
mod rows;
mod sampling;
mod score_file;
mod scored;
pub mod scorer;
mod scoring_format;
mod scratch;
mod sft;
mod star_files;
mod streams;
mod tokenizer;
mod tournament;
mod verdicts;
mod world_keys;
mod worth;

pub use measures::Measures;
pub use score_file::score_file;

use kind::Kind;

/// Every kind of stage that a recipe can name.
pub const KINDS: &[Kind] = &[
    agrees::KIND,
    ai_feedback::KIND,
    aif::KIND,
    dpo::KIND,
    failures::KIND,
    guardrail_world::KIND,
    impression_world::KIND,
    judged::KIND,
    kto::KIND,
    nli::KIND,
    pairs::KIND,
    perplexity::KIND,
    persona_world::KIND,
    persona_files::KIND,
    ppo::KIND,
    pretrained::MODEL,
    pretrained::REWARD_MODEL,
    prompted_ratings::KIND,
    rank::KIND,
    ratings::KIND,
    replies::KIND,
    reward_model::KIND,
    rows::PREFERENCES,
    rows::COMPLETIONS,
    rows::LABELS,
    scratch::KIND,
    sft::KIND,
    star_files::KIND,
    tokenizer::KIND,
    tournament::KIND,
];
