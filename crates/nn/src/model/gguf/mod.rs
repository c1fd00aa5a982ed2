//! A model in one GGUF file, as llama.cpp reads it.
//!
//! Reference: the format's description (`docs/gguf.md` of ggml-org/ggml) and `convert_hf_to_gguf.py` of
//! ggml-org/llama.cpp, whose names and layouts these are.

mod container;
mod tensors;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use rapport_store::write_with;

pub use container::{Pairs, Value};
pub use tensors::Encoding;

use crate::model::config::{Activation, DecoderConfig, Positions, RotaryScaling};
use crate::model::hf::Checkpoint;
use tensors::Tensors;

/// What llama.cpp calls the architecture of a model, where it computes the same.
///
/// # Errors
/// By the name of the family, or the setting, that it computes otherwise.
pub fn architecture(config: &DecoderConfig) -> Result<&'static str> {
    let name = config.family.name();
    let architecture = match name {
        "gpt2" => "gpt2",
        "llama" | "mistral" => "llama",
        "qwen2" => "qwen2",
        _ => bail!("models of type {name} are not exported; gpt2, llama, mistral and qwen2 are"),
    };
    ensure!(
        config.score.is_none(),
        "it has a scoring head, which llama.cpp has no place for"
    );
    ensure!(
        config.activation != Activation::Gelu,
        "llama.cpp computes GELU by its tanh form, and this model does not; gelu_new and gelu_pytorch_tanh can be exported"
    );
    if let Positions::Rotary(rotary) = &config.positions {
        ensure!(
            rotary.dims(config.head_dim) == config.head_dim,
            "partial_rotary_factor: llama.cpp turns whole heads of {name}"
        );
        match &rotary.scaling {
            None | Some(RotaryScaling::Linear { .. }) => {}
            Some(RotaryScaling::Llama3 { .. }) if architecture == "llama" => {}
            _ => bail!("rope_scaling: llama.cpp has no such scaling for {name}"),
        }
    }
    Ok(architecture)
}

/// What the file says of the shape of the model.
fn shape(config: &DecoderConfig, architecture: &str, notes: &mut Vec<String>) -> Pairs {
    let mut pairs = Pairs::new();
    let mut put = |key: &str, value: Value| pairs.push((format!("{architecture}.{key}"), value));
    let count = |value: usize| Value::U32(value as u32);
    let window = config.sliding_window.unwrap_or(usize::MAX);
    let context = config.max_positions.min(window);
    if context < config.max_positions {
        notes.push(format!(
            "context_length is {context}, the sliding window, and not {}: llama.cpp computes no window for it, and \
             within that many tokens none is felt",
            config.max_positions
        ));
    }
    put("vocab_size", count(config.vocab_size));
    put("context_length", count(context));
    put("embedding_length", count(config.hidden_size));
    put("block_count", count(config.layers));
    put("feed_forward_length", count(config.intermediate_size));
    put("attention.head_count", count(config.heads));
    put("attention.head_count_kv", count(config.kv_heads));
    put("attention.key_length", count(config.head_dim));
    put("attention.value_length", count(config.head_dim));
    let epsilon = match architecture {
        "gpt2" => "attention.layer_norm_epsilon",
        _ => "attention.layer_norm_rms_epsilon",
    };
    put(epsilon, Value::F32(config.norm_eps as f32));
    if let Positions::Rotary(rotary) = &config.positions {
        put("rope.dimension_count", count(config.head_dim));
        put("rope.freq_base", Value::F32(rotary.theta as f32));
        if let Some(RotaryScaling::Linear { factor }) = &rotary.scaling {
            put("rope.scaling.type", Value::Text("linear".into()));
            put("rope.scaling.factor", Value::F32(*factor as f32));
        }
    }
    pairs
}

/// Writes the weights of `checkpoint` with what is said of them: `general` before the shape, `tokenizer` after it.
/// One tensor at a time is held. Returns what people should know.
///
/// # Errors
/// See [`architecture`]; a weight that `encoding` cannot hold, or a failure to write. No file is left then.
pub fn write(
    out: &Path,
    config: &DecoderConfig,
    checkpoint: &Checkpoint,
    encoding: Encoding,
    general: Pairs,
    tokenizer: Pairs,
) -> Result<Vec<String>> {
    let architecture = architecture(config)?;
    let mut notes = Vec::new();
    let mut pairs: Pairs = vec![(
        "general.architecture".into(),
        Value::Text(architecture.into()),
    )];
    pairs.extend(general);
    pairs.push(("general.file_type".into(), Value::U32(encoding.file_type())));
    pairs.push(("general.quantization_version".into(), Value::U32(2)));
    pairs.extend(shape(config, architecture, &mut notes));
    pairs.extend(tokenizer);
    let tensors = Tensors::of(config, architecture, encoding)?;
    let plain = tensors.plain();
    if plain > 0 {
        notes.push(format!(
            "{plain} tensors have rows that no blocks of 32 fill; they are stored as F16"
        ));
    }
    write_with(out, |file| {
        let mut writer = container::Writer::begin(file, &pairs, &tensors.heads())?;
        tensors.each(config, checkpoint, |name, values| {
            writer.put(values).with_context(|| name.to_owned())
        })?;
        writer.end()
    })?;
    Ok(notes)
}
