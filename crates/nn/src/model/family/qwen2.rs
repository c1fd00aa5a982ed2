//! Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv 2407.10671): Llama with biases on queries, keys and values.

use serde_json::Value;

use super::traits::{
    DEFAULTS, Defaults, LIKE_LLAMA, Traits, joined, plain, rotary_json, window_flag,
};
use crate::model::config::DecoderConfig;
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

pub(super) static TRAITS: Traits = Traits {
    name: "qwen2",
    classes: ["Qwen2"; 2],
    defaults: Defaults {
        vocab_size: 151_936,
        kv_heads: Some(32),
        intermediate_size: Some(22016),
        max_positions: 32768,
        bos: None,
        eos: None,
        ..DEFAULTS
    },
    fix,
    read,
    write,
    ..LIKE_LLAMA
};

fn fix(given: &DecoderConfig) -> DecoderConfig {
    DecoderConfig {
        qkv_bias: true,
        sliding_window: given.sliding_window,
        sliding_layers: given.sliding_layers.clone(),
        ..plain(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    keys.no_experts();
    keys.rotary(config, RotaryKeys::default());
    (config.qkv_bias, config.out_bias) = (true, false);
    keys.only_bool("mlp_bias", false);
    keys.flagged_window(config);
}

fn write(config: &DecoderConfig) -> Value {
    joined([rotary_json(config), window_flag(config)])
}
