//! SmolLM3 (Bakouch et al. 2025): Llama's blocks, of which every fourth leaves queries and keys as they are
//! (arXiv 2501.18795).

use serde_json::{Value, json};

use super::traits::{
    DEFAULTS, Defaults, LIKE_LLAMA, Traits, but_each, joined, layer_types, plain, rotary_json,
};
use crate::model::config::DecoderConfig;
use crate::model::hf::config_json::keys::{Keys, RotaryKeys};

/// One layer in so many is not turned.
const INTERVAL: usize = 4;

pub(super) static TRAITS: Traits = Traits {
    name: "smollm3",
    classes: ["SmolLM3"; 2],
    defaults: Defaults {
        vocab_size: 128_256,
        hidden_size: 2048,
        layers: 36,
        heads: 16,
        kv_heads: Some(4),
        max_positions: 32768,
        rope_theta: 2_000_000.0,
        tied: true,
        bos: Some(128_000),
        eos: Some(128_001),
        pad: Some(128_004),
        ..DEFAULTS
    },
    begin: |config| DecoderConfig {
        rotary_layers: Some(but_each(INTERVAL, config.layers)),
        ..config
    },
    fix,
    read,
    write,
    ..LIKE_LLAMA
};

fn fix(given: &DecoderConfig) -> DecoderConfig {
    let turned = given.rotary_layers.clone();
    DecoderConfig {
        rotary_layers: Some(turned.unwrap_or_else(|| vec![true; given.layers])),
        qkv_bias: given.qkv_bias,
        out_bias: given.qkv_bias,
        mlp_bias: given.mlp_bias,
        sliding_window: given.sliding_window,
        sliding_layers: given.sliding_layers.clone(),
        ..plain(given)
    }
}

fn read(keys: &mut Keys<'_>, config: &mut DecoderConfig) {
    keys.rotary(config, RotaryKeys::default());
    keys.attention_bias(config);
    config.mlp_bias = keys.flag("mlp_bias", false);
    let interval = keys.size("no_rope_layer_interval", INTERVAL);
    let given = keys.switches("no_rope_layers", config.layers);
    let turned = given.unwrap_or_else(|| but_each(interval, config.layers));

    let slides = keys.flag("use_sliding_window", false);
    let window = keys.optional_size("sliding_window", None);
    let unturned = turned.iter().map(|turned| slides && !turned).collect();
    let sliding = keys.layer_types(config.layers);
    if let (false, Some(sliding)) = (slides, &sliding)
        && sliding.contains(&true)
    {
        // Some of transformers' kernels go by one key, some by the other.
        let message = "sliding_attention needs use_sliding_window".to_owned();
        keys.problem("layer_types", message);
    }
    let sliding = sliding.unwrap_or(match window {
        Some(_) => unturned,
        None => vec![false; config.layers],
    });
    config.rotary_layers = Some(turned);
    keys.some_windows(config, window, sliding);
}

fn write(config: &DecoderConfig) -> Value {
    let turned = (0..config.layers).map(|layer| u8::from(config.attends(layer).rotary.is_some()));
    let own = json!({
        "attention_bias": config.qkv_bias,
        "mlp_bias": config.mlp_bias,
        "no_rope_layers": turned.collect::<Vec<_>>(),
        "use_sliding_window": config.sliding_window.is_some(),
        "sliding_window": config.sliding_window,
        "layer_types": layer_types(config),
    });
    joined([rotary_json(config), own])
}
