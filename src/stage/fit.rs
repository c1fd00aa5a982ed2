//! What every training stage shares: its settings by TRL's names, and the run from folder to folder.

use crate::ops::TrainBackend;
use anyhow::{Result, bail};
use burn::tensor::DType;
use burn::tensor::backend::{Backend, DTypeUsage};

use crate::backend::{self, Work};
use crate::data::Tokenizer;
use crate::model::config::ScoreHead;
use crate::model::decoder::{Compute, Precision};
use crate::model::hf::config_json;
use crate::model::{Decoder, weights};
use crate::objective::Objective;
use crate::stage::corpus::{self, Encoding, Group, Split, Take};
use crate::stage::cuts;
use crate::stage::folder;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Produces};
use crate::stage::limits;
use crate::stage::measures::Measures;
use crate::stage::memory;
use crate::stage::rows::RowsSettings;
use crate::stage::scored;
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
    bf16: Option<bool>,
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
    let positive = f64::MIN_POSITIVE..;
    AdamWConfig {
        adam_beta1: keys.float("adam_beta1", 0.9, 0.0..1.0),
        adam_beta2: keys.float("adam_beta2", 0.999, 0.0..1.0),
        adam_epsilon: keys.float("adam_epsilon", 1e-8, positive.clone()),
        weight_decay: keys.float("weight_decay", 0.0, 0.0..=1.0),
        max_grad_norm: keys.float("max_grad_norm", 1.0, positive),
    }
}

/// Reads how often a run is saved.
pub fn read_save_steps(keys: &mut Keys<'_>, default: usize) -> usize {
    keys.doc("steps between saved states that a killed run goes on from; 0: none")
        .usize("save_steps", default, 0..)
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
                per_device_train_batch_size: keys.usize("per_device_train_batch_size", 8, 1..),
                gradient_accumulation_steps: keys.usize("gradient_accumulation_steps", 1, 1..),
                num_train_epochs: keys.usize("num_train_epochs", 3, 1..),
                max_steps: keys
                    .doc("stop after this many steps whatever the epochs; 0: the epochs decide")
                    .usize("max_steps", 0, 0..),
                optimizer: read_optimizer(keys),
                save_steps: read_save_steps(keys, 500),
                eval_steps: keys
                    .doc("steps between validations; 0: after each epoch")
                    .usize("eval_steps", 0, 0..),
                keep: keys.one_of("metric_for_best_model", defaults.best, defaults.choices),
            },
            max_length: keys.usize("max_length", 1024, 2..),
            min_prompt_kept: cuts::read_kept(keys),
            bf16: keys
                .doc("compute in bf16 with f32 weights and moments; where left out, on cuda only")
                .optional_bool("bf16"),
            gradient_checkpointing: keys
                .doc("keep each block's input alone for backward and compute the block again")
                .bool("gradient_checkpointing", false),
        }
    }

    /// Whether the model is computed in bf16 on the backend of that name.
    pub fn bf16(&self, backend: &str) -> bool {
        self.bf16.unwrap_or(backend::prefers_bf16(backend))
    }

    /// How the model is to be computed.
    pub fn planned(&self, context: &Context) -> Compute {
        let bf16 = self.bf16(&context.backend);
        Compute {
            precision: if bf16 {
                Precision::Bf16
            } else {
                Precision::F32
            },
            recompute: self.gradient_checkpointing,
        }
    }

    /// As [`planned`](Self::planned), if the device can.
    ///
    /// # Errors
    ///
    /// bf16 asked for where the backend has none.
    pub fn compute<B: Backend>(&self, context: &Context, device: &B::Device) -> Result<Compute> {
        let compute = self.planned(context);
        let usage = B::dtype_usage(device, DType::BF16);
        if compute.precision == Precision::Bf16 && !usage.contains(DTypeUsage::Arithmetic) {
            bail!(
                "{}: bf16 = true, but the {} backend cannot compute in bf16; set bf16=false with \
                 --set to compute in f32, or use --backend cuda",
                context.label,
                context.backend
            );
        }
        Ok(compute)
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
        let examples = take.of_all(split.examples(data)?);
        let what = format!("{} ({})", context.label, split.name());
        let set = corpus::dataset(examples, tokenizer, encoding, &what, &context.dir, measures)?;
        Ok((!set.examples.is_empty()).then_some(set))
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
        limits::check(context, &model.name, &config, longest, self.max_length)
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
            Some(&like),
            &card,
        )
    }
}
