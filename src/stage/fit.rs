//! What every training stage shares: its settings by TRL's names, and the run from folder to folder.

use crate::ops::TrainBackend;
use anyhow::{Context as _, Result};
use burn::tensor::backend::Backend;

use crate::backend::{self, Work};
use crate::data::Tokenizer;
use crate::model::config::ScoreHead;
use crate::model::decoder::{Compute, Precision};
use crate::model::hf::config_json;
use crate::model::{Decoder, weights};
use crate::objective::Objective;
use crate::stage::corpus::{self, Encoding, Group, Split, Take};
use crate::stage::cuts;
use crate::stage::drawn;
use crate::stage::folder::{self, SavedAs};
use crate::stage::keys::{BATCH, COUNT, Keys, POSITIVE, SIZE, StageRef};
use crate::stage::kind::{Context, Produces};
use crate::stage::limits;
use crate::stage::measures::Measures;
use crate::stage::memory;
use crate::stage::precision::Bf16;
use crate::stage::rows::RowsSettings;
use crate::stage::scored;
use crate::store::{BadInput, say};
use crate::train::checkpoint;
use crate::train::optimizer::AdamWConfig;
use crate::train::schedule::Schedule;
use crate::train::{self, Dataset, Job, Keep, TrainSettings};

/// A training stage's common settings.
pub struct Fit {
    pub model: StageRef,
    pub settings: TrainSettings,
    pub max_length: usize,
    pub min_prompt_kept: f64,
    pub bf16: Bf16,
    dtype: SavedAs,
    gradient_checkpointing: bool,
}

/// Defaults that differ between objectives; they are TRL's.
pub struct Defaults {
    pub learning_rate: f64,
    pub best: &'static str,
    pub choices: &'static [(&'static str, Keep)],
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

impl Fit {
    /// Reads the common keys.
    pub fn read(keys: &mut Keys<'_>, defaults: &Defaults) -> Self {
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
                eval_steps: keys
                    .doc("steps between validations; 0: after each epoch")
                    .usize("eval_steps", 0, 0..=COUNT),
                keep: keys.one_of("metric_for_best_model", defaults.best, defaults.choices),
            },
            max_length: keys.usize("max_length", 1024, 2..=SIZE),
            min_prompt_kept: cuts::read_kept(keys),
            bf16: Bf16::read(keys),
            dtype: SavedAs::read(keys),
            gradient_checkpointing: read_checkpointing(keys),
        }
    }

    /// Whether the model is computed in bf16 on the backend of that name.
    pub fn bf16(&self, backend: &str) -> bool {
        self.bf16.planned(backend) == Precision::Bf16
    }

    /// How the model is to be computed.
    pub fn planned(&self, context: &Context) -> Compute {
        Compute {
            precision: self.bf16.planned(&context.backend),
            recompute: self.gradient_checkpointing,
        }
    }

    /// As [`planned`](Self::planned), if the device can.
    ///
    /// # Errors
    ///
    /// bf16 asked for where the backend has none.
    pub fn compute<B: Backend>(&self, context: &Context, device: &B::Device) -> Result<Compute> {
        Ok(Compute {
            precision: self.bf16.on::<B>(context, device)?,
            recompute: self.gradient_checkpointing,
        })
    }

    /// A split of `data`, tokenised; nothing where it has no such split or the split is empty. Rows say
    /// themselves how they are drawn; dialogues are kept whole and shuffled; what is given here decides
    /// before either.
    pub fn dataset(
        &self,
        context: &Context,
        (data, split, take): (&StageRef, Split, Take),
        drawn: (Option<Group>, Option<bool>),
        tokenizer: &Tokenizer,
        measures: &mut Measures,
    ) -> Result<Option<Dataset>> {
        let data = context.input(data);
        let rows = RowsSettings::find(data)?;
        let (group, shuffle) = rows.map_or((Group::Dialogue, true), |r| (r.group(), r.shuffle));
        let encoding = Encoding {
            max_length: self.max_length,
            min_prompt_kept: self.min_prompt_kept,
            group: drawn.0.unwrap_or(group),
            shuffle: drawn.1.unwrap_or(shuffle),
        };
        let what = format!("{} ({})", context.label, split.name());
        let examples = (split.examples(data)?, &*what);
        let examples = take.of_all(drawn::readable(data, tokenizer, examples, measures)?);
        let set = corpus::dataset(examples, tokenizer, encoding, &what, &context.dir, measures)
            .context(split.name())?;
        Ok((!set.examples.is_empty()).then_some(set))
    }

    /// Says that the last weights are kept where the best cannot be told: their metric needs a validation split.
    fn settle_best(&self, context: &Context, validated: bool, measures: &mut Measures) {
        let metric = match self.settings.keep {
            Keep::LowestLoss => "loss",
            Keep::HighestAccuracy => "accuracy",
            Keep::Last | Keep::LowestTrainLoss => return,
        };
        if !validated {
            let note = format!(
                "metric_for_best_model = {metric:?} needs a validation split, and the data have none, or an empty one: \
                 the last weights are kept"
            );
            say(&format!("{}: {note}", context.label));
            measures.note(note);
        }
    }

    /// Refuses a set with longer sequences than the model of `model` reads, all of whose tokens but `in_name` are
    /// read.
    ///
    /// # Errors
    /// See [`limits::check`].
    pub fn fits(
        &self,
        context: &Context,
        model: &StageRef,
        set: &Dataset,
        in_name: usize,
    ) -> Result<()> {
        let config = config_json::read(&folder::model_dir(context.input(model)))?;
        let longest = set.examples.longest().saturating_sub(in_name);
        limits::check(&model.name, &config, longest, self.max_length)
    }

    /// Trains the input model, with a new scoring head if one is given, unless it has been already, and
    /// writes the kept weights as a model folder beside `metrics.jsonl`.
    pub fn run(
        &self,
        context: &Context,
        tokenizer: &Tokenizer,
        objective: &Objective,
        head: Option<&ScoreHead>,
        sets: (Dataset, Option<Dataset>),
        mut measures: Measures,
    ) -> Result<()> {
        if sets.0.units.is_empty() {
            return Err(BadInput("its data have nothing to train on".into()).into());
        }
        self.settle_best(context, sets.1.is_some(), &mut measures);
        let work = Train {
            fit: self,
            context,
            tokenizer,
            objective,
            head,
            sets: &sets,
            measures: &mut measures,
        };
        backend::dispatch(&context.backend, work)??;
        measures.write(&context.dir)?;
        checkpoint::discard(&context.dir)
    }
}

struct Train<'a> {
    fit: &'a Fit,
    context: &'a Context,
    tokenizer: &'a Tokenizer,
    objective: &'a Objective,
    head: Option<&'a ScoreHead>,
    sets: &'a (Dataset, Option<Dataset>),
    measures: &'a mut Measures,
}

impl Work for Train<'_> {
    type Output = Result<()>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Result<()> {
        let source = self.context.input(&self.fit.model);
        let compute = self.fit.compute::<B::InnerBackend>(self.context, device)?;
        let (mut model, _) = folder::open::<B>(source, device)?;
        if let Some(head) = self.head {
            model = model.with_score(head.clone());
            model.config = scored::padded(model.config, self.tokenizer);
        }
        model.compute = compute;
        let (train, valid) = self.sets;
        let job = Job {
            label: &self.context.label,
            settings: &self.fit.settings,
            objective: self.objective,
            train,
            valid: valid.as_ref(),
            dir: &self.context.dir,
            seed: self.context.seed,
            stop: &self.context.stop,
        };
        let outcome = train::train(model, &job, device)?;
        if let Some(bytes) = memory::peak() {
            let varying = &mut self.measures.varying;
            varying.insert("peak_memory_gb".into(), bytes / 1e9);
        }
        let numbers = &mut self.measures.numbers;
        numbers.insert("parameters".into(), outcome.parameters as f64);
        numbers.insert(
            "bf16".into(),
            f64::from(compute.precision == Precision::Bf16),
        );
        numbers.insert("steps".into(), outcome.steps as f64);
        numbers.insert("kept_step".into(), outcome.kept_step as f64);
        let cost = outcome.cost;
        numbers.insert("computed_tokens".into(), cost.computed_tokens as f64);
        numbers.insert("unshared_tokens".into(), cost.unshared_tokens as f64);
        numbers.insert("padded_tokens".into(), cost.padded_tokens as f64);
        numbers.insert("rows_filled".into(), cost.rows_filled());
        if let Some(kept) = outcome
            .evaluations
            .iter()
            .find(|e| e.step == outcome.kept_step)
        {
            numbers.insert("eval_loss".into(), kept.loss);
            if self.objective.accuracy().is_some() {
                numbers.insert("eval_accuracy".into(), kept.accuracy);
            }
        }
        let card = format!(
            "# {}\n\nTrained with Rapport: {} steps, weights of step {} kept, {} parameters, seed {}. \
             The settings are in `artifact.json` beside this folder.\n",
            self.context.label,
            outcome.steps,
            outcome.kept_step,
            outcome.parameters,
            self.context.seed
        );
        let like = folder::model_dir(source);
        let model: Decoder<B::InnerBackend> = outcome.model;
        folder::write(
            &self.context.dir,
            &model.config,
            |name| weights::read(&model, name),
            self.tokenizer,
            Some((&like, self.fit.dtype)),
            &card,
        )
    }
}
