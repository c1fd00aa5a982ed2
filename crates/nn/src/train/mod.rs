//! The training loop: one for every objective.

pub mod batches;
pub mod checkpoint;
mod column;
mod evaluate;
mod examples;
pub mod mismatch;
pub mod optimizer;
pub mod ppo;
mod prefetch;
mod recompute;
pub mod schedule;
mod settings;
mod units;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use burn::module::AutodiffModule;
use burn::optim::{GradientsAccumulator, GradientsParams};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rapport_store::{Metrics, Progress, Stop};
use serde_json::{Map, Value, json};

use crate::model::{Decoder, weights};
use crate::objective::{Normaliser, Objective, Running, Shared, Statistics, Totals};
use crate::ops::TrainBackend;
pub use batches::{Batch, Cost, Dataset};
use checkpoint::{Checkpoints, State};
pub use evaluate::{branch_logps, evaluate, unit_values};
pub use examples::{Examples, ExamplesWriter, Sequence, TrainExample};
use optimizer::AdamW;
use prefetch::ahead;
pub use settings::{Evaluation, Keep, TrainSettings, Watch, Watching};
pub use units::Units;

/// Raised when the same data and settings begin to give other weights, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// What one run is given besides the model.
pub struct Job<'a> {
    pub label: &'a str,
    pub settings: &'a TrainSettings,
    pub objective: &'a Objective,
    pub train: &'a Dataset,
    pub valid: Option<&'a Dataset>,
    /// Where metrics and checkpoints go.
    pub dir: &'a Path,
    pub seed: u64,
    pub stop: &'a Stop,
}

/// What a finished run leaves.
pub struct Outcome<M> {
    /// The trained model, in whatever form it is wanted.
    pub model: M,
    /// Steps taken.
    pub steps: usize,
    /// Steps that it would have taken without early stopping.
    pub planned: usize,
    /// The step whose weights `model` holds.
    pub kept_step: usize,
    pub evaluations: Vec<Evaluation>,
    /// What all steps cost, validation left out.
    pub cost: Cost,
    pub parameters: usize,
    /// How many of them were trained, adapters included.
    pub trained: usize,
}

impl<M> Outcome<M> {
    /// The same with the model in another form.
    pub fn map<N>(self, form: impl FnOnce(M) -> N) -> Outcome<N> {
        Outcome {
            model: form(self.model),
            steps: self.steps,
            planned: self.planned,
            kept_step: self.kept_step,
            evaluations: self.evaluations,
            cost: self.cost,
            parameters: self.parameters,
            trained: self.trained,
        }
    }
}

/// Trains `model`, or goes on from the checkpoint in the job's folder.
///
/// # Errors
///
/// [`Stopped`](rapport_store::Stopped) on Ctrl-C, once the last step is saved; a loss or gradient that is not finite, or a failure to write.
pub fn train<B: TrainBackend>(
    mut model: Decoder<B>,
    job: &Job<'_>,
    device: &B::Device,
) -> Result<Outcome<Decoder<B::InnerBackend>>> {
    let settings = job.settings;
    let micro = settings.per_device_train_batch_size;
    let per_epoch = settings.steps_per_epoch(job.train.units.len());
    let total = settings.steps(job.train.units.len());
    if total == 0 {
        bail!("there is nothing to train on");
    }
    let warmup = (settings.warmup_ratio * total as f64).ceil() as usize;
    let mut adamw = AdamW::<B>::new(settings.optimizer);
    let checkpoints = Checkpoints::open(job.dir)?;
    let mut state = State::default();
    if let Some(saved) = checkpoints.load::<State>()? {
        adamw.restore(&model, saved.optimizer, saved.state.step, device);
        model = weights::restore(model, saved.model);
        state = saved.state;
    }
    let trained = weights::trained(&model);
    let mut metrics = Metrics::open(&job.dir.join("metrics.jsonl"), state.step as u64)?;
    let progress = Progress::resume(job.label, total, state.step);

    let first = state.step;
    let steps = job.train.steps(settings, job.seed, first).map(|step| {
        let lay_out = |units: &Vec<usize>| job.train.batch(units, job.objective);
        step.iter().map(lay_out).collect::<Vec<Batch>>()
    });
    let (model, state) = ahead(steps, |steps| -> Result<_> {
        // A step's time includes what it waits for its batches.
        let mut started = Instant::now();
        for batches in steps {
            // Asked before a step, so that a run that goes on from its last one takes no further.
            if state.watch.ends(&settings.watch) {
                break;
            }
            let factor = settings.lr_scheduler_type.factor(state.step, warmup, total);
            let learning_rate = settings.learning_rate * factor;
            let drawn = drawn(job.seed, state.step);
            let (gradients, mut line) =
                step_gradients(&model, job.objective, &batches, &mut state.running, drawn);
            // JSON has no number for one that is not finite.
            let loss = line.get("loss").and_then(Value::as_f64);
            let loss = loss.unwrap_or(f64::NAN);
            let norm;
            (model, norm) = adamw.step(model, gradients, learning_rate);
            state.step += 1;
            if !loss.is_finite() || !norm.is_finite() {
                bail!(
                    "step {}: the loss or its gradient is not a finite number (loss {loss}, \
                     gradient norm {norm}); lower learning_rate, or look for a broken example",
                    state.step
                );
            }
            let tokens: usize = batches.iter().map(|b| b.forest.computed).sum();
            for batch in &batches {
                state.cost.add(&batch.forest);
            }
            job.stop.step_took(started.elapsed());
            let seconds = started.elapsed().as_secs_f64();
            line.insert("step".into(), json!(state.step));
            let epoch = settings.epoch(state.step, job.train.units.len());
            line.insert("epoch".into(), json!(epoch));
            line.insert("grad_norm".into(), json!(norm));
            line.insert("learning_rate".into(), json!(learning_rate));
            line.insert("seconds".into(), json!(seconds));
            line.insert("tokens_per_s".into(), json!(tokens as f64 / seconds));
            if let Objective::Pairs(_) = job.objective {
                let pairs: usize = batches.iter().map(|b| b.normaliser.examples).sum();
                line.insert("pairs_per_s".into(), json!(pairs as f64 / seconds));
            }
            progress.at(state.step);
            progress.message(format!("loss {loss:.4}"));

            let due = match settings.eval_steps {
                0 => state.step.is_multiple_of(per_epoch),
                steps => state.step.is_multiple_of(steps),
            };
            let due = due || state.step == total;
            state.train.add(loss);
            let mut watched = None;
            if due {
                let mean = state.train.mean();
                watched = (settings.keep == Keep::BestTrainLoss).then_some(mean);
            }
            if let Some(valid) = job.valid
                && due
            {
                let found = evaluate(&model.valid(), valid, job.objective, micro, &state.running);
                let found = Evaluation {
                    step: state.step,
                    ..found
                };
                watched = match settings.keep {
                    Keep::BestLoss => Some(found.loss),
                    Keep::BestAccuracy => Some(found.accuracy),
                    Keep::Last | Keep::BestTrainLoss => watched,
                };
                line.insert("eval_loss".into(), json!(found.loss));
                if let Some(name) = job.objective.accuracy() {
                    line.insert(format!("eval_{name}"), json!(found.accuracy));
                }
                state.evaluations.push(found);
            }
            if let Some(value) = watched
                && state.watch.look(value, &settings.watch)
                && settings.watch.load_best_model_at_end
            {
                state.best = Some(state.step);
                checkpoints.keep(state.step, &model)?;
            }
            metrics.write(&line)?;
            let stopping = job.stop.requested() && state.step < total;
            let periodic =
                settings.save_steps > 0 && state.step.is_multiple_of(settings.save_steps);
            if stopping || periodic {
                checkpoints.save(&state, &model, &adamw)?;
            }
            if stopping {
                job.stop.check()?;
            }
            started = Instant::now();
        }
        progress.finish();
        Ok((model.valid(), state))
    })?;
    drop(adamw);
    let model = match state.best {
        Some(step) => weights::restore(model, checkpoints.best(step)?),
        None => model,
    };
    Ok(Outcome {
        parameters: model.config.parameters(),
        trained,
        model,
        steps: state.step,
        planned: total,
        kept_step: state.best.unwrap_or(state.step),
        evaluations: state.evaluations,
        cost: state.cost,
    })
}

/// The step's gradient, accumulated over its micro-batches, and its line of metrics.
///
/// Every micro-batch is divided by the whole step's normaliser, so the sum is the large batch's. What an
/// objective reads of the whole step is found first where there are several, by a forward pass of its own;
/// `running` is what it keeps from step to step.
pub fn gradients<B: TrainBackend>(
    model: &Decoder<B>,
    objective: &Objective,
    batches: &[Batch],
    running: &mut Running,
) -> (GradientsParams, Map<String, Value>) {
    step_gradients(model, objective, batches, running, 0)
}

/// What draws the dropout of a step; further micro-batches of it follow on.
pub fn drawn(seed: u64, step: usize) -> u64 {
    ChaCha8Rng::seed_from_u64(seed ^ (step as u64).rotate_left(32)).random()
}

/// [`gradients`], where `drawn` says what adapters drop of their inputs.
fn step_gradients<B: TrainBackend>(
    model: &Decoder<B>,
    objective: &Objective,
    batches: &[Batch],
    running: &mut Running,
    drawn: u64,
) -> (GradientsParams, Map<String, Value>) {
    let dropped = |micro: usize| model.dropped(drawn.wrapping_add(micro as u64));
    let normaliser: Normaliser = batches.iter().map(|b| b.normaliser).sum();
    let mut settle = |statistics: Statistics| {
        running.update(&statistics);
        Shared::new(&statistics, running)
    };
    let several = objective.needs_statistics() && batches.len() > 1;
    let settled = several.then(|| {
        let statistics = batches.iter().enumerate().map(|(micro, batch)| {
            let model = dropped(micro).map_or_else(|| model.valid(), |model| model.valid());
            let policy = model.branch_values(&batch.forest);
            objective.statistics(&batch.branches(policy))
        });
        settle(statistics.sum())
    });
    let mut accumulator = GradientsAccumulator::new();
    let mut totals = Totals::default();
    for (micro, batch) in batches.iter().enumerate() {
        let dropped = dropped(micro);
        let pass = dropped.as_ref().unwrap_or(model);
        let (loss, gradients) = recompute::backward(pass, &batch.forest, |policy| {
            let branches = batch.branches(policy);
            let shared = settled.unwrap_or_else(|| settle(objective.statistics(&branches)));
            objective.loss(&branches, &normaliser, &shared)
        });
        totals.add(loss);
        accumulator.accumulate(model, gradients);
    }
    let mut line = Map::new();
    line.insert("loss".into(), json!(totals.loss));
    for (name, mean) in totals.means() {
        line.insert(name.into(), json!(mean));
    }
    (accumulator.grads(), line)
}
