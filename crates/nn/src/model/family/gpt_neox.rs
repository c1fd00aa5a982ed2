//! GPT-NeoX (Black et al. 2022, arXiv 2204.06745), of which Pythia and rinna's Japanese models are: LayerNorm, heads turned
//! in part, GELU, attention and feed-forward side by side; one tensor for queries, keys and values, head by head.

use serde_json::{Value, json};

use super::traits::{
    DEFAULTS, Defaults, LIKE_LLAMA, NAMES, Names, SPELLING, Spelling, Traits, joined, rotary_table,
    turned_in_part,
};
use crate::model::config::{Activation, DecoderConfig, Norm, Positions, Rotary};
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

/// The share of a head that is turned where nothing is said.
const PARTIAL: f64 = 0.25;

pub(super) static TRAITS: Traits = Traits {
    name: "gpt_neox",
    classes: ["GPTNeoX"; 2],
    names: Names {
        embed: "gpt_neox.embed_in.weight",
        block: "gpt_neox.layers",
        qkv: &["attention.query_key_value"],
        by_head: true,
        out: "attention.dense",
        up: &["mlp.dense_h_to_4h"],
        down: "mlp.dense_4h_to_h",
        norm: "gpt_neox.final_layer_norm",
        head: "embed_out.weight",
        ..NAMES
    },
    spelling: Spelling {
        kv_heads: None,
        head_dim: None,
        norm_eps: "layer_norm_eps",
        ..SPELLING
    },
    defaults: Defaults {
        vocab_size: 50432,
        hidden_size: 6144,
        layers: 44,
        heads: 64,
        intermediate_size: Some(24576),
        norm_eps: 1e-5,
        activation: "gelu",
        attention_bias: true,
        bos: Some(0),
        ..DEFAULTS
    },
    whole_heads: true,
    begin: |config| DecoderConfig {
        activation: Activation::Gelu,
        positions: Positions::Rotary(Rotary {
            partial: PARTIAL,
            ..Rotary::plain(TRAITS.defaults.rope_theta)
        }),
        parallel: true,
        ..config
    },
    fix,
    read,
    write,
    ..LIKE_LLAMA
};

fn fix(given: &DecoderConfig) -> DecoderConfig {
    DecoderConfig {
        norm: Norm::Layer,
        activation: match given.activation.gated() {
            true => Activation::Gelu,
            false => given.activation,
        },
        kv_heads: given.heads,
        head_dim: given.hidden_size.checked_div(given.heads).unwrap_or(0),
        qkv_bias: given.qkv_bias,
        out_bias: given.qkv_bias,
        mlp_bias: true,
        parallel: given.parallel,
        ..turned_in_part(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    let rotary = RotaryKeys {
        theta: "rotary_emb_base",
        partial: Some(("rotary_pct", PARTIAL)),
        ..RotaryKeys::default()
    };
    keys.rotary(config, rotary);
    keys.attention_bias(config);
    config.mlp_bias = true;
    config.parallel = keys.flag("use_parallel_residual", true);
}

fn write(config: &DecoderConfig) -> Value {
    let Positions::Rotary(rotary) = &config.positions else {
        return json!({});
    };
    let mut table = rotary_table(rotary);
    table["partial_rotary_factor"] = json!(rotary.partial);
    let own = json!({
        "rotary_emb_base": rotary.theta,
        "rotary_pct": rotary.partial,
        "rope_scaling": rotary.scaling,
        "rope_parameters": table,
    });
    let block = json!({
        "attention_bias": config.qkv_bias,
        "use_parallel_residual": config.parallel,
    });
    joined([own, block])
}
