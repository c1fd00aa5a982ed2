//! How to train, and what a look at the validation set says.

mod watch;

use serde::{Deserialize, Serialize};

use crate::train::optimizer::AdamWConfig;
use crate::train::schedule::Schedule;
pub use watch::{Watch, Watching};

/// How to train, by TRL's names.
#[derive(Clone, Debug)]
pub struct TrainSettings {
    pub learning_rate: f64,
    pub lr_scheduler_type: Schedule,
    pub warmup_ratio: f64,
    pub per_device_train_batch_size: usize,
    pub gradient_accumulation_steps: usize,
    pub num_train_epochs: usize,
    /// Stops after this many steps, whatever the epochs say; 0 leaves it to the epochs.
    pub max_steps: usize,
    pub optimizer: AdamWConfig,
    /// Steps between saved states; 0 saves none before the end.
    pub save_steps: usize,
    /// Steps between evaluations; 0 evaluates after each epoch.
    pub eval_steps: usize,
    /// Which evaluation's weights are kept.
    pub keep: Keep,
    pub watch: Watching,
}

impl TrainSettings {
    /// Optimizer steps of one epoch over `units` units.
    pub fn steps_per_epoch(&self, units: usize) -> usize {
        units
            .div_ceil(self.per_device_train_batch_size)
            .div_ceil(self.gradient_accumulation_steps)
    }

    /// Epochs gone through after `step` optimizer steps, by micro-batches as transformers counts them: the last step of
    /// an epoch can have fewer.
    pub fn epoch(&self, step: usize, units: usize) -> f64 {
        let micro_batches = units.div_ceil(self.per_device_train_batch_size);
        let per_epoch = self.steps_per_epoch(units).max(1);
        let within = (step % per_epoch).saturating_mul(self.gradient_accumulation_steps);
        (step / per_epoch) as f64 + within as f64 / micro_batches.max(1) as f64
    }

    /// Optimizer steps of the whole run; none where there is nothing to draw.
    pub fn steps(&self, units: usize) -> usize {
        match (self.steps_per_epoch(units), self.max_steps) {
            (0, _) => 0,
            (per_epoch, 0) => per_epoch.saturating_mul(self.num_train_epochs),
            (_, steps) => steps,
        }
    }
}

/// Which weights a run ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Last,
    BestLoss,
    /// The best mean loss of the training steps since the look before, as an epoch's where looks are taken after
    /// each; needs no validation set.
    BestTrainLoss,
    BestAccuracy,
}

/// One look at the validation set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub step: usize,
    #[serde(with = "rapport_store::numbers")]
    pub loss: f64,
    /// Share of pairs whose chosen completion has the higher reward, or of examples whose class is right; 0 for
    /// objectives without either.
    #[serde(with = "rapport_store::numbers")]
    pub accuracy: f64,
}
