//! Settings of sampling, by transformers' names.

use crate::stage::settings::keys::{BATCH, Keys, SIZE};
use crate::stage::settings::lengths;
use crate::stage::settings::precision::Bf16;

/// How a stage samples.
pub struct SamplingSettings {
    pub asked: Asked,
    pub batch_size: usize,
    pub kept: PromptKept,
    /// In what the models of the stage are computed.
    pub bf16: Bf16,
}

impl SamplingSettings {
    /// Reads the keys.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        Self {
            asked: Asked::read(keys),
            batch_size: keys
                .doc("prompts sampled at once; does not change the samples")
                .usize("generation_batch_size", 64, 1..=BATCH),
            kept: PromptKept::read(keys),
            bf16: Bf16::read(keys),
        }
    }
}

/// The settings of sampling that a recipe gives. What it leaves out is the model folder's, in its
/// `generation_config.json`, and where that says nothing, our own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    pub temperature: Option<f64>,
    pub top_k: Option<usize>,
    pub top_p: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub min_new_tokens: Option<usize>,
    pub max_new_tokens: Option<usize>,
}

impl Asked {
    /// Reads the keys.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        let asked = Self {
            temperature: keys
                .doc("0 takes the likeliest token; where left out: the model's generation_config.json, else 1.0")
                .optional_float("temperature", 0.0..=10.0),
            top_k: keys
                .doc("0 keeps all tokens; where left out: the model's generation_config.json, else 0")
                .optional_usize("top_k", 0..=SIZE),
            top_p: keys
                .doc("where left out: the model's generation_config.json, else 1.0")
                .optional_float("top_p", f64::MIN_POSITIVE..=1.0),
            repetition_penalty: keys
                .doc("where left out: the model's generation_config.json, else 1.0")
                .optional_float("repetition_penalty", f64::MIN_POSITIVE..=10.0),
            min_new_tokens: keys
                .doc("where left out: the model's generation_config.json, else 0")
                .optional_usize("min_new_tokens", 0..=SIZE),
            max_new_tokens: keys
                .doc("where left out: the model's generation_config.json, else 64")
                .optional_usize("max_new_tokens", 1..=SIZE),
        };
        if let (Some(least), Some(most)) = (asked.min_new_tokens, asked.max_new_tokens)
            && least > most
        {
            keys.problem("min_new_tokens", "expected at most max_new_tokens");
        }
        asked
    }
}

/// How much of a prompt must be left where it is cut so that a reply fits behind it.
#[derive(Clone, Copy, Debug)]
pub struct PromptKept(pub f64);

impl PromptKept {
    /// Reads the key.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        Self(lengths::read_kept(keys))
    }
}
