//! Taking an adapter into its base's weights, with proof that the model stays the same.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::engine::{self, Device, Frozen};
use crate::model::decoder::Precision;
use crate::model::hf::{self, BaseDtype};
use crate::stage::artifact::folder::{self, model_dir};
use crate::stage::settings::precision::SavedAs;
use crate::store::BadInput;

/// Sequences of which logits are compared, and their tokens.
const PROBES: [usize; 2] = [4, 32];

/// How far, as a share of the largest logit, f32 weights may be from the adapter beside its base: rounding alone.
const WITHIN: f32 = 1e-4;

/// What merging came to, in words.
pub struct Merged {
    pub notes: Vec<String>,
}

/// Writes the model of the adapter in `adapter`, or in the `model` folder there, to the new folder `out`, in whose card it
/// is called `named`.
///
/// # Errors
/// No adapter; a folder that is not empty; weights whose logits are others than the adapter's.
pub fn merge(
    (adapter, named): (&Path, &Path),
    out: &Path,
    saved: SavedAs,
    backend: &str,
) -> Result<Merged> {
    let dir = match hf::adapter::is_adapter(adapter) {
        true => adapter.to_path_buf(),
        false => model_dir(adapter),
    };
    let dir = dir.as_path();
    if !hf::adapter::is_adapter(dir) {
        return Err(BadInput(format!(
            "{}: holds no adapter (adapter_config.json), neither itself nor in its folder model",
            adapter.display()
        ))
        .into());
    }
    let empty = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !out.exists(),
    };
    if !empty {
        let message = format!("{}: is not an empty folder; name a new one", out.display());
        return Err(BadInput(message).into());
    }
    let (config, checkpoint) = hf::open(dir)?;
    let tokenizer = folder::tokenizer(dir)?;
    let held = checkpoint
        .adapter
        .context("an adapter's folder was opened")?;
    let mut notes = checkpoint.notes;

    let device = || Device::new(backend, Precision::F32);
    let probes = probes(config.vocab_size.min(tokenizer.vocab_size()));
    let of = |model: &Frozen| -> Vec<Vec<f32>> {
        probes.iter().map(|tokens| model.logits(tokens)).collect()
    };
    let beside = of(&Frozen::open(device(), dir)?);
    if held.base_dtype != BaseDtype::F32 {
        let exact = of(&Frozen::open_held(device(), dir, BaseDtype::F32)?);
        let (far, largest) = distance(&beside, &exact);
        notes.push(format!(
            "the adapter was trained beside a base in {}, which the merged weights keep: their logits differ from those \
             of the adapter on the base as it is stored by at most {far:.4}, of up to {largest:.2}",
            held.base_dtype.name()
        ));
    }
    let model = engine::merge(backend, dir)?;
    if model.config.tied {
        notes.push("the head stays the embedding (tie_word_embeddings)".into());
    }
    let card = format!(
        "# Merged with Rapport\n\nThe adapter {} taken into the base {} (held in {}).\n",
        named.display(),
        held.base.display(),
        held.base_dtype.name()
    );
    // The adapter's own folder has its tokenizer and template, or else its base.
    let like = match dir.join("generation_config.json").is_file() {
        true => dir,
        false => held.base.as_path(),
    };
    let values = |name: &str| model.weights(name);
    let told = (like, saved);
    folder::write_model(out, &model.config, values, &tokenizer, Some(told), &card)?;
    drop(model);

    let (reopened, stored) = hf::open(out)?;
    ensure!(
        reopened.tied == config.tied,
        "{}: its head is {}, unlike the adapter's model; this is a mistake in the program",
        out.display(),
        if reopened.tied { "tied" } else { "its own" }
    );
    let (far, largest) = distance(&of(&Frozen::open(device(), out)?), &beside);
    let precision = stored.precision();
    let exact = precision == hf::Precision::F32;
    if !far.is_finite() || (exact && far > WITHIN * largest.max(1.0)) {
        // What is not the same model is not left under its name.
        std::fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display()))?;
        anyhow::bail!(
            "{}: the merged model's logits differ from the adapter's by {far}, of up to {largest}; it was removed",
            out.display()
        );
    }
    notes.push(format!(
        "opened again: logits of {} tokens differ from the adapter's beside its base by at most {far:.2e}, of up to \
         {largest:.2}{}",
        PROBES[0] * PROBES[1],
        match exact {
            true => String::new(),
            false => format!(" (weights are rounded to {})", precision.name()),
        }
    ));
    Ok(Merged { notes })
}

/// Sequences of tokens from all over the vocabulary.
fn probes(vocabulary: usize) -> Vec<Vec<u32>> {
    let [count, length] = PROBES;
    let token = |at: usize| (at.wrapping_mul(2_654_435_761) % vocabulary) as u32;
    let sequence = |first: usize| {
        (0..length)
            .map(|at| token(first * length + at + 1))
            .collect()
    };
    (0..count).map(sequence).collect()
}

/// The largest difference, and the largest of the second's values.
fn distance(one: &[Vec<f32>], other: &[Vec<f32>]) -> (f32, f32) {
    let pairs = one.iter().flatten().zip(other.iter().flatten());
    pairs.fold((0.0, 0.0), |(far, largest), (a, b)| {
        let apart = (a - b).abs();
        // NaN is no less than any other distance.
        let far = if apart > far || apart.is_nan() {
            apart
        } else {
            far
        };
        (far, b.abs().max(largest))
    })
}
