//! Hugging Face model folders: `config.json`, `generation_config.json` and safetensors weights, read
//! into our layout and written back so that `transformers.from_pretrained` opens them.

pub mod checkpoint;
pub mod config_json;
pub mod layout;
mod save;
pub mod tensors;

use std::path::Path;

use anyhow::{Context, Result, bail};
use rapport_store::OrBadInput as _;

pub use checkpoint::Checkpoint;
pub use layout::{Part, Slot, slots};
pub use save::{DEFAULT_SHARD_LIMIT, save, save_like};
pub use tensors::Precision;

use crate::model::config::DecoderConfig;

/// What PEFT names the description of an adapter.
const ADAPTER: &str = "adapter_config.json";

/// Opens a model folder: reads its `config.json`, maps its weights and checks that they are exactly
/// the tensors which that configuration asks for. The configuration returned is that of the weights: a head
/// that is stored apart from the embedding is not tied to it, whatever `config.json` says.
///
/// # Errors
/// Names every unsupported or wrong key of the configuration, or the missing, unexpected and
/// mis-shaped tensors. An adapter that lies in the folder is refused.
pub fn open(dir: &Path) -> Result<(DecoderConfig, Checkpoint)> {
    let open = || -> Result<_> {
        if dir.join(ADAPTER).exists() {
            bail!(
                "{}: holds an adapter ({ADAPTER}), which other programs apply to the weights and Rapport cannot. \
                 Merge it once: in Python, peft's AutoPeftModelForCausalLM.from_pretrained(DIR)\
                 .merge_and_unload().save_pretrained(NEW_DIR), and copy the tokenizer's files; or move the \
                 adapter's files out of the folder to leave it out",
                dir.display()
            );
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
