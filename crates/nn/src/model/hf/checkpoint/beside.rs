//! Stored tensors that no part of a model reads.

use crate::model::config::DecoderConfig;

/// The language model's head, as every family stores it.
pub(super) const HEAD: &str = "lm_head.weight";

/// Heads by the first part of their tensors' names: TRL's and LLaMA-Factory's value heads, OpenRLHF's and
/// transformers' scoring heads, and heads that draft several tokens at once.
const HEADS: [&str; 10] = [
    "v_head",
    "value_head",
    "score",
    "reward_head",
    "critic_head",
    "regression_head",
    "classifier",
    "qa_outputs",
    "ilql_heads",
    "medusa_head",
];

/// Whether a tensor has no trained value of its own: older versions of transformers stored such buffers.
pub(super) fn without_value(name: &str, tied: bool) -> bool {
    let mask = name.starts_with("h.")
        && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"));
    let mask = mask
        || (name.starts_with("layers.")
            && (name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias")));
    mask || name.ends_with("rotary_emb.inv_freq") || (tied && name == HEAD)
}

/// Whether a tensor is of a head that stands beside the one which the model has, and so changes nothing that
/// the model computes. transformers leaves it out too.
pub(super) fn another_head(name: &str, config: &DecoderConfig) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    match &config.score {
        None => HEADS.contains(&first),
        Some(_) => name == HEAD || (first != "score" && HEADS.contains(&first)),
    }
}
