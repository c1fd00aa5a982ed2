//! `rapport merge`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use tempfile::TempDir;

use crate::backend;
use crate::hub::{self, Wanted};
use crate::model::hf::Precision;
use crate::stage::artifact::adapter;
use crate::stage::settings::precision::SavedAs;
use crate::stage::work::merging::merge;
use crate::store::{BadInput, OrBadInput as _, Stop, all_regular, say};

/// Takes an adapter (PEFT, LoRA) into its base's weights and writes the whole model.
///
/// The folder is opened again and its logits are compared with the adapter's before it is announced. A base that the
/// adapter was trained beside in fewer bits (base_dtype) is taken as what those bits stand for.
#[derive(Args)]
pub struct Merge {
    /// The adapter's folder, or the artifact of the stage that trained it; or hub:ORG/NAME.
    adapter: PathBuf,
    /// The folder to write; it must not be there yet, or be empty.
    #[arg(long)]
    out: PathBuf,
    /// Type of the saved weights; auto: the base's.
    #[arg(long, value_enum, default_value = "auto")]
    dtype: Dtype,
    /// flex, ndarray, wgpu or cuda; by default the first that this build has.
    #[arg(long)]
    backend: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    Auto,
    Float32,
    Bfloat16,
    Float16,
}

impl Merge {
    pub fn run(self) -> Result<()> {
        let backend = self.backend.as_deref();
        let backend = backend.unwrap_or_else(|| backend::default_backend());
        backend::check(backend).map_err(|error| BadInput(error.to_string()))?;
        let stop = Stop::install();
        let given = hub::local(&self.adapter, Wanted::Model, &stop)?;
        all_regular(&given).or_bad_input()?;
        let beside = adapter::fetched(&given, &stop)?;
        let dir = beside.as_ref().map_or(given.as_path(), TempDir::path);
        let saved = SavedAs(match self.dtype {
            Dtype::Auto => None,
            Dtype::Float32 => Some(Precision::F32),
            Dtype::Bfloat16 => Some(Precision::Bf16),
            Dtype::Float16 => Some(Precision::F16),
        });
        let merged = merge((dir, &self.adapter), &self.out, saved, backend)?;
        for note in &merged.notes {
            say(note);
        }
        say(&format!("{}: written", self.out.display()));
        Ok(())
    }
}
