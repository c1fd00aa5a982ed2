//! Llama (Touvron et al. 2023, arXiv 2302.13971, 2307.09288): RMSNorm, rotary positions, SwiGLU.

use serde_json::{Value, json};

use super::traits::{LIKE_LLAMA, Traits, joined, plain, rotary_json};
use crate::model::config::DecoderConfig;
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

pub(super) static TRAITS: Traits = Traits {
    name: "llama",
    classes: ["Llama"; 2],
    whole_heads: true,
    fix,
    read,
    write,
    ..LIKE_LLAMA
};

fn fix(given: &DecoderConfig) -> DecoderConfig {
    DecoderConfig {
        qkv_bias: given.qkv_bias,
        out_bias: given.qkv_bias,
        mlp_bias: given.mlp_bias,
        ..plain(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    keys.no_experts();
    keys.rotary(config, RotaryKeys::default());
    keys.attention_bias(config);
    config.mlp_bias = keys.flag("mlp_bias", false);
    // transformers does not read the key; what it holds must be a size all the same.
    keys.optional_size("sliding_window", None);
}

fn write(config: &DecoderConfig) -> Value {
    let biases = json!({"attention_bias": config.qkv_bias, "mlp_bias": config.mlp_bias});
    joined([rotary_json(config), biases])
}
