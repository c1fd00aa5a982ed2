//! Qwen3 (Yang et al. 2025, arXiv 2505.09388): Llama's blocks with each head of queries and keys normalised.

use serde_json::{Value, json};

use super::traits::{
    DEFAULTS, Defaults, LIKE_LLAMA, Traits, joined, plain, rotary_json, window_flag,
};
use crate::model::config::{DecoderConfig, QkNorm};
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

pub(super) static TRAITS: Traits = Traits {
    name: "qwen3",
    classes: ["Qwen3"; 2],
    defaults: Defaults {
        vocab_size: 151_936,
        kv_heads: Some(32),
        head_dim: Some(128),
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
        qk_norm: Some(QkNorm::Head),
        qkv_bias: given.qkv_bias,
        out_bias: given.qkv_bias,
        sliding_window: given.sliding_window,
        sliding_layers: given.sliding_layers.clone(),
        ..plain(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    keys.no_experts();
    keys.rotary(config, RotaryKeys::default());
    keys.attention_bias(config);
    keys.only_bool("mlp_bias", false);
    keys.flagged_window(config);
}

fn write(config: &DecoderConfig) -> Value {
    joined([
        rotary_json(config),
        window_flag(config),
        json!({"attention_bias": config.qkv_bias}),
    ])
}
