//! Hugging Face model folders: `config.json`, `generation_config.json` and safetensors weights, read
//! into our layout and written back so that `transformers.from_pretrained` opens them.

pub mod adapter;
pub mod checkpoint;
pub mod config_json;
pub mod layout;
mod save;
pub mod tensors;

use std::path::Path;

use anyhow::{Context, Result};
use rapport_store::OrBadInput as _;

pub use adapter::{SavedAdapter, base_of, save_adapter};
pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::transpose;
pub use layout::{Part, Slot, slots};
pub use save::{DEFAULT_SHARD_LIMIT, save, save_like};
pub use tensors::Precision;

use crate::model::config::DecoderConfig;
pub use crate::model::lora::BaseDtype;

/// Opens a model folder: reads its `config.json`, maps its weights and checks that they are exactly
/// the tensors which that configuration asks for. The configuration returned is that of the weights: a head
/// that is stored apart from the embedding is not tied to it, whatever `config.json` says. The folder of an adapter opens
/// its base, of which the [`Checkpoint::adapter`] then tells.
///
/// # Errors
/// Names every unsupported or wrong key of the configuration, or the missing, unexpected and
/// mis-shaped tensors.
pub fn open(dir: &Path) -> Result<(DecoderConfig, Checkpoint)> {
    let open = || -> Result<_> {
        if adapter::is_adapter(dir) {
            return adapter::open(dir);
        }
        let (mut config, notes) = config_json::read_noted(dir)?;
        let mut checkpoint = Checkpoint::open(dir)?;
        checkpoint.notes = notes;
        checkpoint.untie(&mut config);
        checkpoint
            .check(&config)
            .with_context(|| format!("{}: the weights do not fit config.json", dir.display()))?;
        Ok((config, checkpoint))
    };
    open().or_bad_input()
}
