//! Mistral (Jiang et al. 2023, arXiv 2310.06825): Llama with grouped queries and a sliding window.

use serde_json::{Value, json};

use super::traits::{DEFAULTS, Defaults, LIKE_LLAMA, Traits, joined, plain, rotary_json};
use crate::model::config::DecoderConfig;
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

pub(super) static TRAITS: Traits = Traits {
    name: "mistral",
    classes: ["Mistral"; 2],
    defaults: Defaults {
        kv_heads: Some(8),
        intermediate_size: Some(14336),
        max_positions: 131_072,
        ..DEFAULTS
    },
    fix,
    read,
    write,
    ..LIKE_LLAMA
};

fn fix(given: &DecoderConfig) -> DecoderConfig {
    DecoderConfig {
        sliding_window: given.sliding_window,
        ..plain(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    keys.no_experts();
    keys.rotary(config, RotaryKeys::default());
    // transformers' class does not read these keys: a folder that sets them was written for other code.
    keys.only_bool("attention_bias", false);
    keys.only_bool("mlp_bias", false);
    let window = keys.optional_size("sliding_window", Some(4096));
    keys.one_window(config, window);
}

fn write(config: &DecoderConfig) -> Value {
    joined([
        rotary_json(config),
        json!({"sliding_window": config.sliding_window}),
    ])
}
