//! Gemma 2 (Riviere et al. 2024, arXiv 2408.00118): norms on both sides that scale by one more than their weights, GeGLU,
//! scaled embeddings, soft caps on scores and logits, a window in every other layer.

use serde_json::{Value, json};

use super::traits::{
    DEFAULTS, Defaults, LIKE_LLAMA, NAMES, Names, SPELLING, Spelling, Traits, but_each, joined,
    layer_types, plain, rotary_json,
};
use crate::model::config::{Activation, DecoderConfig, Norms};
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

/// The window of a model that says none.
pub(super) const WINDOW: usize = 4096;

/// And what its scores are divided by the root of.
const SCALAR: usize = 256;

/// What Gemma 3 shares.
pub(super) const COMMON: Traits = Traits {
    name: "gemma2",
    classes: ["Gemma2"; 2],
    names: Names {
        mlp_norm: "pre_feedforward_layernorm",
        ..NAMES
    },
    spelling: Spelling {
        activation: "hidden_activation",
        ..SPELLING
    },
    defaults: Defaults {
        vocab_size: 256_000,
        hidden_size: 2304,
        layers: 26,
        heads: 8,
        kv_heads: Some(4),
        head_dim: Some(256),
        intermediate_size: Some(9216),
        max_positions: 8192,
        activation: "gelu_pytorch_tanh",
        tied: true,
        bos: Some(2),
        eos: Some(1),
        pad: Some(0),
        ..DEFAULTS
    },
    whole_heads: true,
    begin: |config| DecoderConfig {
        sliding_layers: Some(but_each(2, config.layers)),
        attn_soft_cap: Some(50.0),
        final_soft_cap: Some(30.0),
        ..begin(config)
    },
    fix: |given| DecoderConfig {
        attn_soft_cap: given.attn_soft_cap,
        ..fix(given)
    },
    read: |keys, config| {
        keys.rotary(config, RotaryKeys::default());
        config.attn_soft_cap = keys.soft_cap("attn_logit_softcapping", Some(50.0));
        config.final_soft_cap = keys.soft_cap("final_logit_softcapping", Some(30.0));
        read(keys, config, 2);
    },
    write: |config| {
        let cap = json!({"attn_logit_softcapping": config.attn_soft_cap});
        joined([rotary_json(config), write(config), cap])
    },
    ..LIKE_LLAMA
};

pub(super) static TRAITS: Traits = COMMON;

/// What both begin as.
pub(super) fn begin(config: DecoderConfig) -> DecoderConfig {
    DecoderConfig {
        activation: Activation::GeGluTanh,
        sliding_window: Some(WINDOW),
        query_pre_attn_scalar: Some(config.head_dim),
        ..config
    }
}

/// What both are.
pub(super) fn fix(given: &DecoderConfig) -> DecoderConfig {
    DecoderConfig {
        norms: Norms::Both,
        norm_offset: true,
        scaled_embedding: true,
        qkv_bias: given.qkv_bias,
        out_bias: given.qkv_bias,
        // Its classes need a window, whether a layer slides or not.
        sliding_window: given.sliding_window.or(Some(WINDOW)),
        sliding_layers: given.sliding_layers.clone(),
        query_pre_attn_scalar: given.query_pre_attn_scalar,
        final_soft_cap: given.final_soft_cap,
        ..plain(given)
    }
}

/// What both read, where every `interval`th layer does not slide.
pub(super) fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig, interval: usize) {
    keys.attention_bias(config);
    keys.only_bool("mlp_bias", false);
    keys.only_bool_or_null("use_bidirectional_attention", false);
    config.query_pre_attn_scalar = Some(keys.size("query_pre_attn_scalar", SCALAR));
    let window = keys.optional_size("sliding_window", Some(WINDOW));
    if window.is_none() {
        let message = "null is not supported; transformers' class needs a window".to_owned();
        keys.problem("sliding_window", message);
    }
    let sliding = keys.layer_types(config.layers);
    config.sliding_window = window;
    config.sliding_layers = Some(sliding.unwrap_or_else(|| but_each(interval, config.layers)));
}

/// What both write.
pub(super) fn write(config: &DecoderConfig) -> Value {
    json!({
        "attention_bias": config.qkv_bias,
        "query_pre_attn_scalar": config.query_pre_attn_scalar.unwrap_or(config.head_dim),
        "sliding_window": config.sliding_window,
        "layer_types": layer_types(config),
        "final_logit_softcapping": config.final_soft_cap,
    })
}
