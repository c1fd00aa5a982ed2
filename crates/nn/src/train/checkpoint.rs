//! Saved steps: what a killed run needs to go on as if it had never stopped.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::module::Module;
use rapport_store::{self as store, Seal, Seals, say};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::hf::tensors;
use crate::model::weights;
use crate::objective::Running;
use crate::ops::TrainBackend;
use crate::train::optimizer::AdamW;
use crate::train::{Cost, Evaluation, Watch};

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
    /// What looks have shown so far. A checkpoint that lacks it is none to go on from: which weights are the best is
    /// then not known.
    pub watch: Watch,
}

/// The mean loss of training steps between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainLoss {
    #[serde(with = "rapport_store::numbers")]
    sum: f64,
    steps: usize,
}

impl TrainLoss {
    /// Takes in a step's loss.
    pub fn add(&mut self, loss: f64) {
        self.sum += loss;
        self.steps += 1;
    }

    /// The mean since the last look; begins anew.
    pub fn mean(&mut self) -> f64 {
        let mean = self.sum / self.steps.max(1) as f64;
        (self.sum, self.steps) = (0.0, 0);
        mean
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
    /// What the file of the best weights holds, by step.
    best: RefCell<Option<(usize, Seal)>>,
}

/// Removes a run's checkpoint and best weights once what they led to is safely written.
///
/// # Errors
/// When they cannot be removed.
pub fn discard(dir: &Path) -> Result<()> {
    let (current, going) = (dir.join(FOLDER), dir.join(format!("{FOLDER}.{WRITING}")));
    // A kill on the way leaves no half of one in its place.
    if current.exists() {
        remove_dir(&going)?;
        fs::rename(&current, &going).with_context(|| format!("removing {}", current.display()))?;
    }
    remove_dir(&going)?;
    remove_dir(&dir.join(format!("{FOLDER}.{DAMAGED}")))?;
    remove_best(dir, &[])
}

fn remove_dir(dir: &Path) -> Result<()> {
    match dir.exists() {
        true => fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display())),
        false => Ok(()),
    }
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
/// The record of a checkpoint: the run's counters, and the seals of the files that belong to them.
const STATE: &str = "state.json";
/// Ending of one that is not whole.
const WRITING: &str = "writing";
/// Ending of a checkpoint that was set aside.
const DAMAGED: &str = "damaged";
/// The run's step metrics, beside its checkpoint.
const METRICS: &str = "metrics.jsonl";

impl Checkpoints {
    /// Checkpoints under `dir`; what a kill left half written is removed.
    pub fn open(dir: &Path) -> Result<Self> {
        let checkpoints = Self {
            dir: dir.to_owned(),
            known: Cell::new(None),
            best: RefCell::new(None),
        };
        for leftover in [WRITING, "old"] {
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
        let writing = self.path(WRITING);
        let save = || -> Result<()> {
            fs::create_dir_all(&writing)?;
            write_model(&writing.join("model.safetensors"), model)?;
            optimizer.write(model, &writing.join("optimizer.safetensors"))?;
            store::write_sealed(&writing.join(STATE), state, &self.seals(&writing, state)?)?;
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

    /// Seals what a checkpoint in the folder `writing` consists of: its files, the best weights, and the metrics of
    /// the steps so far.
    fn seals(&self, writing: &Path, state: &impl Counters) -> Result<Seals> {
        let mut seals = store::seal_dir(writing, STATE)?;
        if let Some(step) = state.best() {
            let known = self.best.borrow().clone();
            let seal = match known.filter(|(of, _)| *of == step) {
                Some((_, seal)) => seal,
                None => Seal::of(&self.dir.join(best_file(step)))?,
            };
            seals.insert(format!("../{}", best_file(step)), seal);
        }
        let metrics = self.dir.join(METRICS);
        if metrics.exists() {
            let grows = Seal {
                grows: true,
                ..Seal::of(&metrics)?
            };
            seals.insert(format!("../{METRICS}"), grows);
        }
        Ok(seals)
    }

    /// The newest checkpoint, if there is one. Best weights that it does not know are removed. One that is damaged is
    /// set aside, and said so: the run begins anew.
    pub fn load<S: Counters>(&self) -> Result<Option<Checkpoint<S>>> {
        let dir = self.path("");
        if !dir.exists() {
            remove_best(&self.dir, &[])?;
            return Ok(None);
        }
        let (state, seals): (S, Seals) = match store::read_sealed(&dir.join(STATE)) {
            Ok(read) => read,
            Err(damage) => {
                self.start_anew(&damage)?;
                return Ok(None);
            }
        };
        *self.best.borrow_mut() = state.best().and_then(|step| {
            let seal = seals.get(&format!("../{}", best_file(step)))?;
            Some((step, seal.clone()))
        });
        self.known.set(state.best());
        remove_best(&self.dir, state.best().as_slice())?;
        Ok(Some(Checkpoint {
            state,
            model: tensors::read(&dir.join("model.safetensors"))?,
            optimizer: tensors::read(&dir.join("optimizer.safetensors"))?,
        }))
    }

    /// Sets everything of a damaged run aside.
    fn start_anew(&self, damage: &anyhow::Error) -> Result<()> {
        let (dir, aside) = (self.path(""), self.path(DAMAGED));
        remove_dir(&aside)?;
        fs::rename(&dir, &aside).with_context(|| format!("setting {} aside", dir.display()))?;
        remove_best(&self.dir, &[])?;
        let metrics = self.dir.join(METRICS);
        if metrics.exists() {
            fs::rename(&metrics, aside.join(METRICS))
                .with_context(|| format!("setting {} aside", metrics.display()))?;
        }
        say(&format!(
            "{}: the saved step cannot be used ({damage:#}); it is set aside and the training starts from its beginning",
            dir.display()
        ));
        Ok(())
    }

    /// Writes the trained weights after `step` as the best so far. Those that the newest checkpoint knows stay
    /// too: a killed run goes back to them.
    pub fn keep<B: TrainBackend, M: Module<B>>(&self, step: usize, model: &M) -> Result<()> {
        let file = self.dir.join(best_file(step));
        write_model(&file, model)?;
        *self.best.borrow_mut() = Some((step, Seal::of(&file)?));
        let known = self.known.get().unwrap_or(step);
        remove_best(&self.dir, &[step, known])
    }

    /// The weights that [`keep`](Self::keep) wrote after `step`.
    ///
    /// # Errors
    /// When they are not there as they were written.
    pub fn best(&self, step: usize) -> Result<Arrays> {
        let file = self.dir.join(best_file(step));
        let known = self.best.borrow().clone();
        let known = known.and_then(|(of, seal)| (of == step).then_some(seal));
        if known.as_ref() != Seal::of(&file).ok().as_ref() {
            bail!(
                "{}: the best weights are not what was written; the same command starts the training anew",
                file.display()
            );
        }
        tensors::read(&file)
    }

    fn path(&self, suffix: &str) -> PathBuf {
        if suffix.is_empty() {
            self.dir.join(FOLDER)
        } else {
            self.dir.join(format!("{FOLDER}.{suffix}"))
        }
    }
}

/// Writes those of a model's parameters that are trained, one copied at a time.
fn write_model<B: TrainBackend, M: Module<B>>(path: &Path, model: &M) -> Result<()> {
    let heads = weights::parameters(model).into_iter();
    let heads = heads.filter(|it| it.tracked);
    let heads: Vec<_> = heads.map(|it| (it.name, it.shape)).collect();
    tensors::write_each(path, &heads, |name| {
        weights::read(model, name).with_context(|| format!("no parameter {name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_since_the_last_look_is_known() {
        let mut train = TrainLoss::default();
        let mut look = |losses: &[f64]| {
            losses.iter().for_each(|&loss| train.add(loss));
            train.mean()
        };
        assert_eq!(look(&[3.0, 5.0]), 4.0);
        assert_eq!(look(&[1.0, 7.5]), 4.25);
        assert_eq!(look(&[3.9]), 3.9);
    }
}
