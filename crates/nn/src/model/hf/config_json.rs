//! `config.json` and `generation_config.json`, to and from [`DecoderConfig`].
//!
//! Absent keys take the values that transformers' configuration classes give them. Both spellings of
//! the rotary settings are read: `rope_theta` with `rope_scaling`, and `rope_parameters` (transformers
//! 5). A key that would change the computation in a way we do not do is an error, never ignored.

pub(in crate::model) mod keys;
mod write;

use std::path::Path;

use anyhow::{Context, Result, bail};
use rapport_store::read_regular;
use serde_json::Value;

use self::keys::Keys;
use crate::model::config::{DecoderConfig, Family};
use crate::model::family::Traits;

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
    let mut config = common(family, &mut keys);
    (family.traits().read)(&mut keys, &mut config);
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
    keys.problems.extend(config.validate());
    if !keys.problems.is_empty() {
        bail!("{}", keys.problems.join("\n"));
    }
    Ok((config, keys.notes))
}

/// What every family says, each in its own spelling.
fn common(family: Family, keys: &mut Keys) -> DecoderConfig {
    let Traits {
        spelling, defaults, ..
    } = family.traits();
    let hidden = keys.size(spelling.hidden_size, defaults.hidden_size);
    let heads = keys.size(spelling.heads, defaults.heads);
    let layers = keys.size(spelling.layers, defaults.layers);
    let vocab_size = keys.size("vocab_size", defaults.vocab_size);
    let mut config = DecoderConfig::new(family, vocab_size, hidden, layers, heads);
    if let Some(key) = spelling.kv_heads {
        config.kv_heads = keys.optional_size(key, defaults.kv_heads).unwrap_or(heads);
    }
    let given = spelling
        .head_dim
        .and_then(|key| keys.optional_size(key, defaults.head_dim));
    match given {
        Some(head_dim) => config.head_dim = head_dim,
        None if heads > 0 && !hidden.is_multiple_of(heads) => keys.problem(
            spelling.hidden_size,
            format!("{hidden} is not a multiple of {} ({heads})", spelling.heads),
        ),
        None => {}
    }
    config.intermediate_size = keys
        .optional_size(spelling.intermediate_size, defaults.intermediate_size)
        .unwrap_or(4 * hidden);
    config.max_positions = keys.size(spelling.max_positions, defaults.max_positions);
    config.norm_eps = keys.number(spelling.norm_eps, defaults.norm_eps);
    let gated = config.activation.gated();
    config.activation = keys.activation(spelling.activation, defaults.activation, gated);
    config.tied = keys.flag("tie_word_embeddings", defaults.tied);
    keys.special_tokens(&mut config, [defaults.bos, defaults.eos, defaults.pad]);
    config
}

#[cfg(test)]
mod tests;
