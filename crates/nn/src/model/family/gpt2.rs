//! GPT-2 (Radford et al. 2019): LayerNorm, learned positions, GELU, biases everywhere; one tensor for queries, keys and
//! values; weights stored by input.

use serde_json::{Value, json};

use super::traits::{DEFAULTS, Defaults, LIKE_LLAMA, NAMES, Names, Spelling, Traits, plain};
use crate::model::config::{Activation, DecoderConfig, Norm, Positions};
use crate::model::hf::config_json::keys::Keys;

pub(super) static TRAITS: Traits = Traits {
    name: "gpt2",
    classes: ["GPT2"; 2],
    task: "LMHeadModel",
    names: Names {
        embed: "transformer.wte.weight",
        block: "transformer.h",
        attn_norm: "ln_1",
        qkv: &["attn.c_attn"],
        out: "attn.c_proj",
        mlp_norm: "ln_2",
        up: &["mlp.c_fc"],
        down: "mlp.c_proj",
        norm: "transformer.ln_f",
        out_in: false,
        ..NAMES
    },
    spelling: Spelling {
        hidden_size: "n_embd",
        layers: "n_layer",
        heads: "n_head",
        kv_heads: None,
        head_dim: None,
        intermediate_size: "n_inner",
        max_positions: "n_positions",
        norm_eps: "layer_norm_epsilon",
        activation: "activation_function",
    },
    defaults: Defaults {
        vocab_size: 50257,
        hidden_size: 768,
        layers: 12,
        heads: 12,
        intermediate_size: None,
        max_positions: 1024,
        norm_eps: 1e-5,
        activation: "gelu_new",
        attention_bias: true,
        tied: true,
        bos: Some(50256),
        eos: Some(50256),
        ..DEFAULTS
    },
    whole_heads: true,
    shrunk_residuals: true,
    fix,
    read,
    write,
    ..LIKE_LLAMA
};

fn fix(given: &DecoderConfig) -> DecoderConfig {
    DecoderConfig {
        norm: Norm::Layer,
        positions: Positions::Learned,
        activation: match given.activation.gated() {
            true => Activation::GeluTanh,
            false => given.activation,
        },
        kv_heads: given.heads,
        head_dim: given.hidden_size.checked_div(given.heads).unwrap_or(0),
        qkv_bias: true,
        out_bias: true,
        mlp_bias: true,
        ..plain(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    for key in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
        keys.only_bool(key, false);
    }
    keys.only_bool("scale_attn_weights", true);
    config.positions = Positions::Learned;
}

fn write(config: &DecoderConfig) -> Value {
    json!({"n_ctx": config.max_positions})
}
