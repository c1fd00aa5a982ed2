//! Saved steps: what a killed run needs to go on as if it had never stopped.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::backend::Backend;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::hf::tensors;
use crate::model::weights;
use crate::objective::Running;
use crate::ops::TrainBackend;
use crate::store;
use crate::train::optimizer::AdamW;
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
    /// What the objective keeps from step to step; checkpoints older than such objectives lack it.
    #[serde(default)]
    pub running: Running,
    /// The loss of the steps; checkpoints older than it lack it.
    #[serde(default)]
    pub train: TrainLoss,
}

/// The mean loss of training steps between two looks, and the lowest so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainLoss {
    sum: f64,
    steps: usize,
    lowest: Option<f64>,
}

impl TrainLoss {
    /// Takes in a step's loss.
    pub fn add(&mut self, loss: f64) {
        self.sum += loss;
        self.steps += 1;
    }

    /// Whether the mean since the last look is below that of all looks before; begins anew.
    pub fn lowest(&mut self) -> bool {
        let mean = self.sum / self.steps.max(1) as f64;
        (self.sum, self.steps) = (0.0, 0);
        let lowest = self.lowest.is_none_or(|before| mean < before);
        if lowest {
            self.lowest = Some(mean);
        }
        lowest
    }
}

/// The counters that a kind of run keeps in its checkpoints.
pub trait Counters: Serialize + DeserializeOwned {
    /// Steps taken.
    fn step(&self) -> usize;

    /// The step whose weights are kept as the best.
    fn best(&self) -> Option<usize>;
}

impl Counters for State {
    fn step(&self) -> usize {
        self.step
    }

    fn best(&self) -> Option<usize> {
        self.best
    }
}

/// Named arrays on the host.
pub type Arrays = std::collections::BTreeMap<String, crate::model::weights::Array>;

/// Everything a checkpoint holds. The best weights so far have a file of their own.
pub struct Checkpoint<S> {
    pub state: S,
    pub model: Arrays,
    pub optimizer: Arrays,
}

/// The checkpoints of one run, of which only the newest is kept.
pub struct Checkpoints {
    dir: PathBuf,
    /// The best step that the newest checkpoint knows.
    known: Cell<Option<usize>>,
}

/// Removes a run's checkpoint and best weights once what they led to is safely written.
///
/// # Errors
/// When they cannot be removed.
pub fn discard(dir: &Path) -> Result<()> {
    let folder = dir.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    remove_best(dir, &[])
}

/// The file of the weights after `step`, kept as the best.
fn best_file(step: usize) -> String {
    format!("best-{step}.safetensors")
}

/// Removes best weights but for those of the steps in `keep`.
fn remove_best(dir: &Path, keep: &[usize]) -> Result<()> {
    let kept: Vec<String> = keep.iter().map(|&step| best_file(step)).collect();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("best-") && !kept.contains(&name) {
            fs::remove_file(dir.join(&name)).with_context(|| format!("removing {name}"))?;
        }
    }
    Ok(())
}

const FOLDER: &str = "checkpoint";

impl Checkpoints {
    /// Checkpoints under `dir`; what a kill left half written is removed.
    pub fn open(dir: &Path) -> Result<Self> {
        let checkpoints = Self {
            dir: dir.to_owned(),
            known: Cell::new(None),
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

    /// Writes the run's state under a temporary name, then puts it in the last one's place. One
    /// tensor at a time is copied.
    pub fn save<B: TrainBackend, M: Module<B>>(
        &self,
        state: &impl Counters,
        model: &M,
        optimizer: &AdamW<B>,
    ) -> Result<()> {
        let writing = self.path("writing");
        let save = || -> Result<()> {
            fs::create_dir_all(&writing)?;
            write_model(&writing.join("model.safetensors"), model)?;
            optimizer.write(model, &writing.join("optimizer.safetensors"))?;
            store::write_json(&writing.join("state.json"), state)?;
            let (current, old) = (self.path(""), self.path("old"));
            if current.exists() {
                fs::rename(&current, &old)?;
            }
            fs::rename(&writing, &current)?;
            if old.exists() {
                fs::remove_dir_all(&old)?;
            }
            self.known.set(state.best());
            remove_best(&self.dir, state.best().as_slice())
        };
        save().with_context(|| format!("saving step {} under {}", state.step(), self.dir.display()))
    }

    /// The newest checkpoint, if there is one. Best weights that it does not know are removed.
    pub fn load<S: Counters>(&self) -> Result<Option<Checkpoint<S>>> {
        let dir = self.path("");
        if !dir.join("state.json").exists() {
            remove_best(&self.dir, &[])?;
            return Ok(None);
        }
        let state: S = store::read_json(&dir.join("state.json"))?;
        self.known.set(state.best());
        remove_best(&self.dir, state.best().as_slice())?;
        Ok(Some(Checkpoint {
            state,
            model: tensors::read(&dir.join("model.safetensors"))?,
            optimizer: tensors::read(&dir.join("optimizer.safetensors"))?,
        }))
    }

    /// Writes the weights after `step` as the best so far. Those that the newest checkpoint knows stay
    /// too: a killed run goes back to them.
    pub fn keep<B: Backend, M: Module<B>>(&self, step: usize, model: &M) -> Result<()> {
        write_model(&self.dir.join(best_file(step)), model)?;
        let known = self.known.get().unwrap_or(step);
        remove_best(&self.dir, &[step, known])
    }

    /// The weights that [`keep`](Self::keep) wrote after `step`.
    pub fn best(&self, step: usize) -> Result<Arrays> {
        tensors::read(&self.dir.join(best_file(step)))
    }

    fn path(&self, suffix: &str) -> PathBuf {
        if suffix.is_empty() {
            self.dir.join(FOLDER)
        } else {
            self.dir.join(format!("{FOLDER}.{suffix}"))
        }
    }
}

/// Writes a model's parameters, one copied at a time.
fn write_model<B: Backend, M: Module<B>>(path: &Path, model: &M) -> Result<()> {
    let heads = weights::parameters(model).into_iter();
    let heads: Vec<_> = heads.map(|it| (it.name, it.shape)).collect();
    tensors::write_each(path, &heads, |name| {
        weights::read(model, name).with_context(|| format!("no parameter {name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_mean_since_the_last_look_is_known() {
        let mut train = TrainLoss::default();
        let mut look = |losses: &[f64]| {
            losses.iter().for_each(|&loss| train.add(loss));
            train.lowest()
        };
        assert!(look(&[3.0, 5.0]));
        assert!(!look(&[1.0, 7.5]));
        assert!(look(&[3.9]));
        assert!(!look(&[3.9]));
    }
}
