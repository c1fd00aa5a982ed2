//! Saved steps: what a killed run needs to go on as if it had never stopped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::model::hf::tensors;
use crate::store;
use crate::train::{Cost, Evaluation};

/// The counters of a run; the order of data is a function of seed and epoch, so it is not stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Optimizer steps taken.
    pub step: usize,
    /// What the steps have cost.
    pub cost: Cost,
    /// Evaluations so far, oldest first.
    pub evaluations: Vec<Evaluation>,
    /// The step whose weights are kept as the best.
    pub best: Option<usize>,
}

/// Named arrays on the host.
pub type Arrays = std::collections::BTreeMap<String, crate::model::weights::Array>;

/// Everything a checkpoint holds.
pub struct Checkpoint {
    pub state: State,
    pub model: Arrays,
    pub optimizer: Arrays,
    pub best: Option<Arrays>,
}

/// The checkpoints of one run, of which only the newest is kept.
pub struct Checkpoints {
    dir: PathBuf,
}

/// Removes a run's checkpoint once what it led to is safely written.
///
/// # Errors
/// When the folder cannot be removed.
pub fn discard(dir: &Path) -> Result<()> {
    let dir = dir.join(FOLDER);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(())
}

const FOLDER: &str = "checkpoint";

impl Checkpoints {
    /// Checkpoints under `dir`; what a kill left half written is removed.
    pub fn open(dir: &Path) -> Result<Self> {
        let checkpoints = Self {
            dir: dir.to_owned(),
        };
        for leftover in ["writing", "old"] {
            let path = checkpoints.path(leftover);
            // The one moment without a finished checkpoint is between the two renames of `save`.
            if leftover == "old" && path.exists() && !checkpoints.path("").exists() {
                fs::rename(&path, checkpoints.path(""))?;
            } else if path.exists() {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(checkpoints)
    }

    /// Writes a checkpoint under a temporary name, then puts it in the last one's place.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let writing = self.path("writing");
        let save = || -> Result<()> {
            fs::create_dir_all(&writing)?;
            tensors::write(&writing.join("model.safetensors"), &checkpoint.model)?;
            tensors::write(
                &writing.join("optimizer.safetensors"),
                &checkpoint.optimizer,
            )?;
            if let Some(best) = &checkpoint.best {
                tensors::write(&writing.join("best.safetensors"), best)?;
            }
            store::write_json(&writing.join("state.json"), &checkpoint.state)?;
            let (current, old) = (self.path(""), self.path("old"));
            if current.exists() {
                fs::rename(&current, &old)?;
            }
            fs::rename(&writing, &current)?;
            if old.exists() {
                fs::remove_dir_all(&old)?;
            }
            Ok(())
        };
        save().with_context(|| {
            format!(
                "saving step {} under {}",
                checkpoint.state.step,
                self.dir.display()
            )
        })
    }

    /// The newest checkpoint, if there is one.
    pub fn load(&self) -> Result<Option<Checkpoint>> {
        let dir = self.path("");
        if !dir.join("state.json").exists() {
            return Ok(None);
        }
        let best = dir.join("best.safetensors");
        Ok(Some(Checkpoint {
            state: store::read_json(&dir.join("state.json"))?,
            model: tensors::read(&dir.join("model.safetensors"))?,
            optimizer: tensors::read(&dir.join("optimizer.safetensors"))?,
            best: best.exists().then(|| tensors::read(&best)).transpose()?,
        }))
    }

    fn path(&self, suffix: &str) -> PathBuf {
        if suffix.is_empty() {
            self.dir.join(FOLDER)
        } else {
            self.dir.join(format!("{FOLDER}.{suffix}"))
        }
    }
}
