//! Phi-3 and Phi-4-mini (Abdin et al. 2024, arXiv 2404.14219): Llama's blocks, stored with queries, keys and values in one
//! tensor and gate and up in another; heads may be turned in part, by LongRoPE.

use serde_json::{Value, json};

use super::traits::{
    DEFAULTS, Defaults, LIKE_LLAMA, NAMES, Names, Traits, joined, rotary_table, turned_in_part,
};
use crate::model::config::{DecoderConfig, Positions, RotaryScaling};
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

pub(super) static TRAITS: Traits = Traits {
    name: "phi3",
    classes: ["Phi3"; 2],
    names: Names {
        qkv: &["self_attn.qkv_proj"],
        up: &["mlp.gate_up_proj"],
        ..NAMES
    },
    defaults: Defaults {
        vocab_size: 32064,
        hidden_size: 3072,
        intermediate_size: Some(8192),
        max_positions: 4096,
        norm_eps: 1e-5,
        eos: Some(32000),
        pad: Some(32000),
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
        ..turned_in_part(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    let rotary = RotaryKeys {
        partial: Some(("partial_rotary_factor", 1.0)),
        long_only: Some(4096),
        ..RotaryKeys::default()
    };
    keys.rotary(config, rotary);
    // transformers' class does not read these keys: a folder that sets them was written for other code.
    keys.only_bool("attention_bias", false);
    keys.only_bool("mlp_bias", false);
    let window = keys.optional_size("sliding_window", None);
    keys.one_window(config, window);
}

fn write(config: &DecoderConfig) -> Value {
    let Positions::Rotary(rotary) = &config.positions else {
        return json!({});
    };
    let mut table = rotary_table(rotary);
    table["partial_rotary_factor"] = json!(rotary.partial);
    let original = match rotary.scaling {
        Some(RotaryScaling::LongRope {
            original_max_position_embeddings: original,
            ..
        }) => json!({"original_max_position_embeddings": original}),
        _ => json!({}),
    };
    let own = json!({
        "rope_theta": rotary.theta,
        "rope_scaling": rotary.scaling,
        "rope_parameters": table,
        "partial_rotary_factor": rotary.partial,
        "sliding_window": config.sliding_window,
    });
    joined([own, original])
}
