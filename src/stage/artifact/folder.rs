//! Model folders in Hugging Face's form: opened for work, and written when work is done.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::data::{Tokenizer, template};
use crate::engine::{Adapted, Trained};
use crate::model::DecoderConfig;
use crate::model::hf::{
    self, Checkpoint, DEFAULT_SHARD_LIMIT, Precision, SavedAdapter, config_json,
};
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::{card, generation};
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;
use crate::stage::settings::precision::SavedAs;
use crate::store::{BadInput, OrBadInput, write_atomic};

const TEMPLATE: &str = "chat_template.jinja";

/// Where a model stage's Hugging Face folder lies inside its artifact.
pub fn model_dir(artifact: &Path) -> PathBuf {
    artifact.join("model")
}

/// How many parameters the model of an artifact has; nothing where it has no model, or one that cannot be read.
pub fn parameters(artifact: &Path) -> Option<usize> {
    let config = config_json::read(&model_dir(artifact)).ok()?;
    Some(config.parameters())
}

/// An artifact's language model: its folder, its shape and its tokenizer.
pub struct LanguageModel {
    pub dir: PathBuf,
    pub config: DecoderConfig,
    pub tokenizer: Tokenizer,
}

impl LanguageModel {
    /// Reads all but the weights.
    ///
    /// # Errors
    /// As [`read`], and a model with a scoring head.
    pub fn read(artifact: &Path) -> Result<Self> {
        let dir = model_dir(artifact);
        let (config, tokenizer) = read(&dir)?;
        ensure!(
            config.score.is_none(),
            "{}: has a head that scores sequences, where a language model is wanted",
            dir.display()
        );
        Ok(Self {
            dir,
            config,
            tokenizer,
        })
    }
}

/// The shape and the tokenizer of a model folder, whatever its head.
///
/// # Errors
/// A folder that cannot be read, lacks weights, or whose tokenizer gives ids that the model has no row for.
pub fn read(dir: &Path) -> Result<(DecoderConfig, Tokenizer)> {
    let (config, _) = hf::open(dir).or_bad_input()?;
    let tokenizer = tokenizer(dir).or_bad_input()?;
    fits(dir, &config, &tokenizer)?;
    Ok((config, tokenizer))
}

/// Refuses a tokenizer that gives ids which the model has no row for.
pub fn fits(dir: &Path, config: &DecoderConfig, tokenizer: &Tokenizer) -> Result<()> {
    const LISTED: usize = 5;
    let (rows, ids) = (config.vocab_size, tokenizer.vocab_size());
    if ids <= rows {
        return Ok(());
    }
    let beyond = tokenizer.beyond(rows);
    let named = beyond.iter().take(LISTED).map(|(id, name)| match name {
        Some(name) => format!("{name:?} is {id}"),
        None => format!("its post_processor adds {id}"),
    });
    let mut named: Vec<String> = named.collect();
    if beyond.len() > LISTED {
        named.push(format!("and {} more", beyond.len() - LISTED));
    }
    bail!(BadInput(format!(
        "{}: the tokenizer gives ids up to {} ({}), but the model has rows for {rows} (vocab_size of config.json), \
         ids 0 to {}. Remove such tokens from the tokenizer's files; or give the model rows for them, in Python: \
         model.resize_token_embeddings({ids}); model.save_pretrained(DIR)",
        dir.display(),
        ids - 1,
        named.join(", "),
        rows - 1
    )))
}

/// Refuses a reference whose log-probs would be of other tokens than the model's.
pub fn same_tokenizer(context: &Context, model: &StageRef, reference: &StageRef) -> Result<()> {
    let ids = |stage: &StageRef| Tokenizer::open(&model_dir(context.input(stage)))?.identity();
    ensure!(
        ids(model)? == ids(reference)?,
        "reference @{} has another tokenizer than @{}, so that their log-probs are of other tokens",
        reference.name,
        model.name
    );
    Ok(())
}

/// The tokenizer of a model folder; of an adapter's that has none, its base's.
///
/// # Errors
/// Files that are not there, or cannot be read.
pub fn tokenizer(dir: &Path) -> Result<Tokenizer> {
    let own = ["tokenizer.json", "tokenizer.model", "vocab.json"];
    match own.iter().any(|name| dir.join(name).is_file()) {
        true => Tokenizer::open(dir),
        false => Tokenizer::open(&hf::base_of(dir)?),
    }
}

/// Writes weights with the tokenizer of the folder `like`, its chat template, its `generation_config.json` and the
/// type of its weights, unless told another. The special tokens of the configurations are then those that the
/// tokenizer names ([`generation::align`]). `values` is asked for one parameter at a time, by name.
pub fn write(
    artifact: &Path,
    config: &DecoderConfig,
    values: impl FnMut(&str) -> Option<Vec<f32>>,
    tokenizer: &Tokenizer,
    like: Option<(&Path, SavedAs)>,
    card: &str,
) -> Result<()> {
    write_model(&model_dir(artifact), config, values, tokenizer, like, card)
}

/// As [`write`], to the folder `dir` itself.
pub fn write_model(
    dir: &Path,
    config: &DecoderConfig,
    mut values: impl FnMut(&str) -> Option<Vec<f32>>,
    tokenizer: &Tokenizer,
    like: Option<(&Path, SavedAs)>,
    card: &str,
) -> Result<()> {
    beside(dir, tokenizer, like.map(|(like, _)| like))?;
    let card = card::with_base(card, card::WHOLE, like.map(|(like, _)| like));
    write_atomic(&dir.join("README.md"), card.as_bytes())?;
    let mut config = config.clone();
    let (precision, generation) = match like {
        None => (Precision::F32, config_json::generation_json(&config)),
        Some((like, SavedAs(told))) => {
            let precision = match told {
                Some(told) => told,
                None => Checkpoint::open(&hf::base_of(like)?)?.precision(),
            };
            (precision, generation::align(&mut config, like, tokenizer)?)
        }
    };
    let tensor = |slot: &hf::Slot| {
        values(&slot.name).with_context(|| format!("no weights for {}", slot.name))
    };
    let limit = DEFAULT_SHARD_LIMIT;
    hf::save_like(dir, &config, precision, limit, &generation, tensor)
}

/// Writes what was trained, as [`write`]: a whole model, or an adapter beside its base.
pub fn write_trained(
    artifact: &Path,
    model: &Trained,
    tokenizer: &Tokenizer,
    (like, saved): (&Path, SavedAs),
    card: &str,
) -> Result<()> {
    let values = |name: &str| model.weights(name);
    let Some(adapted) = &model.adapted else {
        let like = Some((like, saved));
        return write(artifact, &model.config, values, tokenizer, like, card);
    };
    let dir = model_dir(artifact);
    beside(&dir, tokenizer, Some(like))?;
    let parameters = adapted.lora.parameters(&model.config)?;
    let card = format!("{card}\n{}\n", describe(adapted, parameters));
    let card = card::with_base(&card, card::ADAPTER, Some(like));
    write_atomic(&dir.join("README.md"), card.as_bytes())?;
    let mut config = model.config.clone();
    let generation = generation::align(&mut config, like, tokenizer)?;
    let base = adapted.base.canonicalize();
    let adapter = SavedAdapter {
        lora: &adapted.lora,
        base: &base.with_context(|| format!("cannot resolve {}", adapted.base.display()))?,
        base_dtype: adapted.base_dtype,
        precision: saved.0.unwrap_or(Precision::F32),
        generation: &generation,
    };
    hf::save_adapter(&dir, &config, &adapter, values)
}

/// Measures how many values an adapter trained, and says what it is.
pub fn note_adapter(measures: &mut Measures, adapted: &Adapted, trained: usize) {
    let count = trained as f64;
    measures.numbers.insert("trained_parameters".into(), count);
    measures.note(describe(adapted, trained));
}

/// An adapter in words: what it is like, and what it is an adapter of.
pub fn describe(adapted: &Adapted, parameters: usize) -> String {
    let Adapted {
        lora,
        base,
        base_dtype,
    } = adapted;
    let base = base.canonicalize().unwrap_or_else(|_| base.clone());
    let kind = match (lora.use_dora, lora.use_rslora) {
        (false, false) => "LoRA",
        (false, true) => "rsLoRA",
        (true, false) => "DoRA",
        (true, true) => "rsLoRA and DoRA",
    };
    format!(
        "an adapter ({kind}, r {}, alpha {}) with {parameters} trained parameters, beside the base {}, held in {}",
        lora.r,
        lora.lora_alpha,
        base.display(),
        base_dtype.name()
    )
}

/// Writes the tokenizer's files, and the chat template of the folder `like`, if it has one; ours where nothing is told.
fn beside(dir: &Path, tokenizer: &Tokenizer, like: Option<&Path>) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    tokenizer.save(dir)?;
    match like.map(|like| like.join(TEMPLATE)) {
        Some(template) if template.exists() => {
            fs::copy(&template, dir.join(TEMPLATE))
                .with_context(|| format!("cannot copy {}", template.display()))?;
        }
        Some(_) => {}
        None => write_atomic(&dir.join(TEMPLATE), template::OWN.as_bytes())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
