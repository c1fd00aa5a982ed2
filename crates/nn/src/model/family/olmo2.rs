//! OLMo 2 (Walsh et al. 2025, arXiv 2501.00656): norms behind attention and the feed-forward layer; queries and keys
//! normalised over all their heads.

use serde_json::{Value, json};

use super::traits::{DEFAULTS, Defaults, LIKE_LLAMA, Traits, joined, plain, rotary_json};
use crate::model::config::{DecoderConfig, Norms, QkNorm};
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

pub(super) static TRAITS: Traits = Traits {
    name: "olmo2",
    classes: ["Olmo2"; 2],
    defaults: Defaults {
        vocab_size: 50304,
        norm_eps: 1e-5,
        bos: None,
        eos: Some(50279),
        pad: Some(1),
        ..DEFAULTS
    },
    fix,
    read,
    write,
    ..LIKE_LLAMA
};

fn fix(given: &DecoderConfig) -> DecoderConfig {
    DecoderConfig {
        qk_norm: Some(QkNorm::Whole),
        norms: Norms::After,
        qkv_bias: given.qkv_bias,
        out_bias: given.qkv_bias,
        ..plain(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    keys.rotary(config, RotaryKeys::default());
    keys.attention_bias(config);
    keys.only_bool("mlp_bias", false);
}

fn write(config: &DecoderConfig) -> Value {
    joined([
        rotary_json(config),
        json!({"attention_bias": config.qkv_bias}),
    ])
}
