//! Stages: the only place where files become values and values become files. One file a kind.
//!
//! Kinds lie by what they make, and never import one another: [`source`], [`model`], [`preference`], [`train`], [`measure`]. Beneath
//! them lies what several kinds do ([`work`]), what they pass on ([`artifact`]), and what a recipe says ([`settings`]).

pub mod artifact;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod edge_tests;
pub mod kind;
pub mod measure;
pub mod model;
pub mod modules;
pub mod preference;
pub mod settings;
pub mod source;
pub mod train;
pub mod work;

use kind::Kind;

/// Every kind of stage that a recipe can name.
pub const KINDS: &[Kind] = &[
    measure::agreement::KIND,
    preference::ai_feedback::KIND,
    measure::aif::KIND,
    train::dpo::KIND,
    preference::failures::KIND,
    preference::filter_pairs::KIND,
    source::guardrail_world::KIND,
    source::impression_world::KIND,
    measure::judged::KIND,
    train::kto::KIND,
    source::nli::KIND,
    preference::pseudo_preferences::KIND,
    measure::perplexity::KIND,
    source::persona_world::KIND,
    source::persona_files::KIND,
    train::ppo::KIND,
    model::pretrained::MODEL,
    model::pretrained::REWARD_MODEL,
    measure::prompted_ratings::KIND,
    measure::rank::KIND,
    source::ratings::KIND,
    measure::replies::KIND,
    train::reward_model::KIND,
    source::rows::PREFERENCES,
    source::rows::COMPLETIONS,
    source::rows::LABELS,
    model::scratch::KIND,
    train::sft::KIND,
    source::star_files::KIND,
    model::tokenizer::KIND,
    measure::tournament::KIND,
];
