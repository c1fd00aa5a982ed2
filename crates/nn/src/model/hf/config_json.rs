//! `config.json` and `generation_config.json`, to and from [`DecoderConfig`].
//!
//! Absent keys take the values that transformers' configuration classes give them. Both spellings of
//! the rotary settings are read: `rope_theta` with `rope_scaling`, and `rope_parameters` (transformers
//! 5). A key that would change the computation in a way we do not do is an error, never ignored.

mod keys;
mod write;

use std::path::Path;

use anyhow::{Context, Result, bail};
use rapport_store::read_regular;
use serde_json::Value;

use self::keys::Keys;
use crate::model::config::{Activation, DecoderConfig, Family};
use crate::model::family::{Biases, Block, Traits};

/// Bytes of a `config.json`; real ones have a few thousand.
const LIMIT: u64 = 1 << 24;

pub use self::write::{generation_json, to_json};

/// Reads and checks `DIR/config.json`.
///
/// # Errors
/// The file is missing or no JSON object, or some keys are wrong or ask for something unsupported; all
/// such keys are listed.
pub fn read(dir: &Path) -> Result<DecoderConfig> {
    read_noted(dir).map(|(config, _)| config)
}

/// As [`read`], with remarks on keys that say one thing and do, in transformers too, another.
///
/// # Errors
/// Those of [`read`].
pub fn read_noted(dir: &Path) -> Result<(DecoderConfig, Vec<String>)> {
    let path = dir.join("config.json");
    let text = read_regular(&path, LIMIT).with_context(|| {
        format!(
            "{}: cannot be read; a model folder holds a config.json",
            path.display()
        )
    })?;
    let value: Value = serde_json::from_slice(&text)
        .with_context(|| format!("{}: not valid JSON", path.display()))?;
    parse_noted(&value).with_context(|| path.display().to_string())
}

/// The decoder that a parsed `config.json` describes.
///
/// # Errors
/// Those of [`read`].
pub fn parse(value: &Value) -> Result<DecoderConfig> {
    parse_noted(value).map(|(config, _)| config)
}

fn parse_noted(value: &Value) -> Result<(DecoderConfig, Vec<String>)> {
    let Some(map) = value.as_object() else {
        bail!("expected a JSON object with a model_type");
    };
    let Some(kind) = map.get("model_type").and_then(Value::as_str) else {
        bail!("model_type: missing; expected one of {}", Family::names());
    };
    let Some(family) = Family::from_name(kind) else {
        bail!(
            "model_type: {kind:?} is not supported; expected one of {}",
            Family::names()
        );
    };
    let mut keys = Keys {
        map,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let mut config = match family.traits().block {
        Block::Gpt2 => gpt2_like(family, &mut keys),
        Block::Llama => llama_like(family, &mut keys),
    };
    config.score = keys.score();
    if config.score.is_some() {
        // transformers' classes with such a head have none to tie.
        config.tied = false;
    }
    keys.only_bool("is_causal", true);
    keys.refuse(
        "quantization_config",
        "quantised weights; save the model in f32, bf16 or f16",
    );
    if keys.problems.is_empty() {
        keys.problems = config.validate();
    }
    if !keys.problems.is_empty() {
        bail!("{}", keys.problems.join("\n"));
    }
    Ok((config, keys.notes))
}

fn gpt2_like(family: Family, keys: &mut Keys) -> DecoderConfig {
    let defaults = &family.traits().defaults;
    for key in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
        keys.only_bool(key, false);
    }
    keys.only_bool("scale_attn_weights", true);
    let hidden = keys.size("n_embd", 768);
    let heads = keys.size("n_head", 12);
    let mut config = DecoderConfig::new(
        family,
        keys.size("vocab_size", defaults.vocab_size),
        hidden,
        keys.size("n_layer", 12),
        heads,
    );
    config.intermediate_size = keys.optional_size("n_inner", None).unwrap_or(4 * hidden);
    config.max_positions = keys.size("n_positions", defaults.max_position_embeddings);
    config.norm_eps = keys.number("layer_norm_epsilon", 1e-5);
    config.activation = match keys.text("activation_function", "gelu_new").as_str() {
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "gelu" => Activation::Gelu,
        other => {
            keys.problem("activation_function", format!("{other:?} is not supported; expected gelu_new, gelu_pytorch_tanh, gelu_fast or gelu"));
            Activation::GeluTanh
        }
    };
    config.tied = keys.flag("tie_word_embeddings", true);
    keys.special_tokens(&mut config, defaults.bos_token_id, defaults.eos_token_id);
    config
}

fn llama_like(family: Family, keys: &mut Keys) -> DecoderConfig {
    let Traits {
        biases,
        window,
        defaults,
        ..
    } = family.traits();
    let hidden = keys.size("hidden_size", 4096);
    let heads = keys.size("num_attention_heads", 32);
    let layers = keys.size("num_hidden_layers", 32);
    let vocab_size = keys.size("vocab_size", defaults.vocab_size);
    let mut config = DecoderConfig::new(family, vocab_size, hidden, layers, heads);
    config.kv_heads = keys
        .optional_size("num_key_value_heads", defaults.num_key_value_heads)
        .unwrap_or(heads);
    match keys.optional_size("head_dim", None) {
        Some(head_dim) => config.head_dim = head_dim,
        None if heads > 0 && !hidden.is_multiple_of(heads) => keys.problem(
            "hidden_size",
            format!("{hidden} is not a multiple of num_attention_heads ({heads})"),
        ),
        None => {}
    }
    let intermediate = defaults.intermediate_size.unwrap_or(4 * hidden);
    config.intermediate_size = keys.size("intermediate_size", intermediate);
    config.max_positions = keys.size("max_position_embeddings", defaults.max_position_embeddings);
    config.norm_eps = keys.number("rms_norm_eps", 1e-6);
    config.positions = keys.rotary(config.max_positions);
    let activation = keys.text("hidden_act", "silu");
    if !matches!(activation.as_str(), "silu" | "swish") {
        keys.problem(
            "hidden_act",
            format!("{activation:?} is not supported; expected silu"),
        );
    }
    if *biases == Biases::Keys {
        let bias = keys.flag("attention_bias", false);
        (config.qkv_bias, config.out_bias) = (bias, bias);
        config.mlp_bias = keys.flag("mlp_bias", false);
    } else {
        // transformers' classes of these families do not read these keys: a folder that sets them was
        // written for other code.
        if *biases == Biases::Nothing {
            keys.only_bool("attention_bias", false);
        }
        keys.only_bool("mlp_bias", false);
    }
    for key in ["num_experts", "num_local_experts"] {
        if keys
            .optional_size(key, None)
            .is_some_and(|experts| experts > 1)
        {
            keys.problem(key, "mixtures of experts are not supported".into());
        }
    }
    config.sliding_window = keys.window(*window, layers);
    config.tied = keys.flag("tie_word_embeddings", false);
    keys.special_tokens(&mut config, defaults.bos_token_id, defaults.eos_token_id);
    config
}

#[cfg(test)]
mod tests;
