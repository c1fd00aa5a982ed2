//! Settings of training, by TRL's names.

mod looks;

use crate::engine::LoraSettings;
use crate::stage::settings::keys::{BATCH, COUNT, Keys, POSITIVE, SIZE, StageRef};
use crate::stage::settings::lengths;
use crate::stage::settings::lora;
use crate::stage::settings::precision::{Bf16, SavedAs};
use crate::stage::settings::produces::Produces;
use crate::train::TrainSettings;
use crate::train::optimizer::AdamWConfig;
use crate::train::schedule::Schedule;
pub use looks::Defaults;
use looks::Looks;

/// A training stage's common settings.
pub struct Trainer {
    pub model: StageRef,
    pub settings: TrainSettings,
    /// Whether the validation split is looked at.
    pub validates: bool,
    pub max_length: usize,
    pub min_prompt_kept: f64,
    pub bf16: Bf16,
    pub dtype: SavedAs,
    pub gradient_checkpointing: bool,
    /// Adapters that are trained in the place of the model's weights.
    pub lora: Option<LoraSettings>,
}

/// Reads the learning rate's schedule.
pub fn read_schedule(keys: &mut Keys<'_>) -> Schedule {
    keys.one_of(
        "lr_scheduler_type",
        "linear",
        &[
            ("linear", Schedule::Linear),
            ("cosine", Schedule::Cosine),
            ("constant", Schedule::Constant),
        ],
    )
}

/// Reads the optimizer's constants.
pub fn read_optimizer(keys: &mut Keys<'_>) -> AdamWConfig {
    AdamWConfig {
        adam_beta1: keys.float("adam_beta1", 0.9, 0.0..1.0),
        adam_beta2: keys.float("adam_beta2", 0.999, 0.0..1.0),
        adam_epsilon: keys.float("adam_epsilon", 1e-8, POSITIVE),
        weight_decay: keys.float("weight_decay", 0.0, 0.0..=1.0),
        max_grad_norm: keys.float("max_grad_norm", 1.0, POSITIVE),
    }
}

/// Reads how often a run is saved.
pub fn read_save_steps(keys: &mut Keys<'_>, default: usize) -> usize {
    keys.doc("steps between saved states that a killed run goes on from; 0: none")
        .usize("save_steps", default, 0..=COUNT)
}

/// Reads whether blocks are computed again in backward.
pub fn read_checkpointing(keys: &mut Keys<'_>) -> bool {
    keys.doc("keep each block's input alone for backward and compute the block again")
        .bool("gradient_checkpointing", false)
}

impl Trainer {
    /// Reads the common keys.
    pub fn read(keys: &mut Keys<'_>, defaults: &Defaults) -> Self {
        let looks = Looks::read(keys, defaults);
        Self {
            model: keys.stage("model", &[Produces::Model]),
            settings: TrainSettings {
                learning_rate: keys.float("learning_rate", defaults.learning_rate, 0.0..=1.0),
                lr_scheduler_type: read_schedule(keys),
                warmup_ratio: keys.float("warmup_ratio", 0.0, 0.0..=1.0),
                per_device_train_batch_size: keys.usize(
                    "per_device_train_batch_size",
                    8,
                    1..=BATCH,
                ),
                gradient_accumulation_steps: keys.usize(
                    "gradient_accumulation_steps",
                    1,
                    1..=BATCH,
                ),
                num_train_epochs: keys.usize("num_train_epochs", 3, 1..=BATCH),
                max_steps: keys
                    .doc("stop after this many steps whatever the epochs; 0: the epochs decide")
                    .usize("max_steps", 0, 0..=COUNT),
                optimizer: read_optimizer(keys),
                save_steps: read_save_steps(keys, 500),
                eval_steps: looks.steps,
                keep: looks.keep,
                watch: looks.watch,
            },
            validates: looks.validates,
            max_length: keys.usize("max_length", 1024, 2..=SIZE),
            min_prompt_kept: lengths::read_kept(keys),
            bf16: Bf16::read(keys),
            dtype: SavedAs::read(keys),
            gradient_checkpointing: read_checkpointing(keys),
            lora: lora::read(keys),
        }
    }
}
