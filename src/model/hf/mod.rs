//! Hugging Face model folders: `config.json`, `generation_config.json` and safetensors weights, read
//! into our layout and written back so that `transformers.from_pretrained` opens them.

pub mod checkpoint;
pub mod config_json;
pub mod layout;
mod save;
pub mod tensors;

use std::path::Path;

use anyhow::{Context, Result};

pub use checkpoint::Checkpoint;
pub use layout::{Part, Slot, slots};
pub use save::{DEFAULT_SHARD_LIMIT, save};
pub use tensors::Precision;

use crate::model::config::DecoderConfig;

/// Opens a model folder: reads its `config.json`, maps its weights and checks that they are exactly
/// the tensors which that configuration asks for.
///
/// # Errors
/// Names every unsupported or wrong key of the configuration, or every missing, unexpected and
/// mis-shaped tensor.
pub fn open(dir: &Path) -> Result<(DecoderConfig, Checkpoint)> {
    let config = config_json::read(dir)?;
    let checkpoint = Checkpoint::open(dir)?;
    checkpoint
        .check(&config)
        .with_context(|| format!("{}: the weights do not fit config.json", dir.display()))?;
    Ok((config, checkpoint))
}
