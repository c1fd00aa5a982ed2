//! Model folders in Hugging Face's form: opened for work, and written when work is done.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use burn::tensor::backend::Backend;

use crate::data::Tokenizer;
use crate::model::hf::{self, DEFAULT_SHARD_LIMIT, Precision};
use crate::model::weights;
use crate::model::{Decoder, DecoderConfig};
use crate::stage::keys::StageRef;
use crate::stage::kind::Context;
use crate::store::{OrBadInput, hash_file, write_atomic};

const TEMPLATE: &str = "chat_template.jinja";

/// Where a model stage's Hugging Face folder lies inside its artifact.
pub fn model_dir(artifact: &Path) -> PathBuf {
    artifact.join("model")
}

/// Opens an artifact's language model on a device, with its tokenizer.
pub fn open<B: Backend>(artifact: &Path, device: &B::Device) -> Result<(Decoder<B>, Tokenizer)> {
    let dir = model_dir(artifact);
    let (model, tokenizer) = open_any(&dir, device)?;
    ensure!(
        model.config.score.is_none(),
        "{}: has a head that scores sequences, where a language model is wanted",
        dir.display()
    );
    Ok((model, tokenizer))
}

/// Opens a model folder, whatever its head.
pub fn open_any<B: Backend>(dir: &Path, device: &B::Device) -> Result<(Decoder<B>, Tokenizer)> {
    let (config, checkpoint) = hf::open(dir).or_bad_input()?;
    let model = weights::load(&config, device, |slot| checkpoint.read(slot)).or_bad_input()?;
    Ok((model, Tokenizer::open(dir).or_bad_input()?))
}

/// Refuses a reference whose log-probs would be of other tokens than the model's.
pub fn same_tokenizer(context: &Context, model: &StageRef, reference: &StageRef) -> Result<()> {
    let file = |stage: &StageRef| {
        let dir = model_dir(context.input(stage));
        hash_file(&dir.join("tokenizer.json"))
    };
    ensure!(
        file(model)? == file(reference)?,
        "{}: reference @{} has another tokenizer than @{}, so that their log-probs are of other tokens",
        context.label,
        reference.name,
        model.name
    );
    Ok(())
}

/// Writes weights with the tokenizer and chat template of the folder `like`. `values` is asked for
/// one parameter at a time, by name.
pub fn write(
    artifact: &Path,
    config: &DecoderConfig,
    mut values: impl FnMut(&str) -> Option<Vec<f32>>,
    tokenizer: &Tokenizer,
    like: Option<&Path>,
    card: &str,
) -> Result<()> {
    let dir = model_dir(artifact);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    tokenizer.save(&dir)?;
    match like.map(|like| like.join(TEMPLATE)) {
        Some(template) if template.exists() => {
            fs::copy(&template, dir.join(TEMPLATE))
                .with_context(|| format!("cannot copy {}", template.display()))?;
        }
        Some(_) => {}
        None => write_atomic(
            &dir.join(TEMPLATE),
            include_bytes!("../../assets/chat_template.jinja"),
        )?,
    }
    write_atomic(&dir.join("README.md"), card.as_bytes())?;
    hf::save(&dir, config, Precision::F32, DEFAULT_SHARD_LIMIT, |slot| {
        values(&slot.name).with_context(|| format!("no weights for {}", slot.name))
    })
}
