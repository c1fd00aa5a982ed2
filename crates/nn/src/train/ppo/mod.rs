//! Reinforcement learning from a reward: PPO, and RLOO and GRPO as settings of the same loop.
//!
//! A step samples replies, scores them, and updates the policy on them for several epochs of minibatches
//! (Ouyang et al., arXiv 2203.02155; TRL's `PPOTrainer`). Every array holds real tokens alone: there is no padding
//! to be masked. `docs/ppo.md` has the formulas and where this differs from TRL.

pub mod actor_critic;
pub mod advantages;
pub mod draw;
pub mod gae;
pub mod kl;
pub mod losses;
pub mod rollout;
pub mod settings;
pub mod state;
pub mod targets;
pub mod update;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use burn::module::AutodiffModule;
use rapport_store::{Metrics, Progress, Stop};
use serde_json::json;

use crate::model::{Decoder, weights};
use crate::ops::TrainBackend;
use crate::train;
use crate::train::checkpoint::Checkpoints;
use crate::train::optimizer::AdamW;
pub use actor_critic::{ActorCritic, ValueHead};
use rollout::{Episode, sample, score_episodes};
pub use settings::{Algorithm, PpoSettings};
use state::{PpoState, Updates, line};
use targets::targets;
use update::Step;

/// Raised when the same prompts, rewards and settings begin to give other weights, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// A reply that waits for its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Index of its prompt among those of the run.
    pub prompt: usize,
    /// The reply's tokens, without the EOS.
    pub reply: &'a [u32],
    /// Whether it ended by itself.
    pub finished: bool,
}

/// What scores replies.
pub trait RewardFunction {
    /// One finite score for each reply, in order.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from scoring; the run ends there.
    fn rewards(&mut self, asked: &[Asked<'_>]) -> Result<Vec<f64>>;
}

impl<F: FnMut(&[Asked<'_>]) -> Result<Vec<f64>>> RewardFunction for F {
    fn rewards(&mut self, asked: &[Asked<'_>]) -> Result<Vec<f64>> {
        self(asked)
    }
}

/// What one run is given besides the models.
pub struct PpoJob<'a> {
    pub label: &'a str,
    pub settings: &'a PpoSettings,
    /// Tokenised prompts, each of at least one token.
    pub prompts: &'a [Vec<u32>],
    /// Where metrics and checkpoints go.
    pub dir: &'a Path,
    pub seed: u64,
    pub stop: &'a Stop,
}

/// What a finished run leaves.
pub struct PpoOutcome<M> {
    /// The trained policy, in whatever form it is wanted.
    pub policy: M,
    /// Steps of sampling and updating.
    pub steps: usize,
    /// Steps after which `policy` was as it is.
    pub kept_step: usize,
    /// The counters at the end.
    pub state: PpoState,
}

impl<M> PpoOutcome<M> {
    /// The same with the policy in another form.
    pub fn map<N>(self, form: impl FnOnce(M) -> N) -> PpoOutcome<N> {
        PpoOutcome {
            policy: form(self.policy),
            steps: self.steps,
            kept_step: self.kept_step,
            state: self.state,
        }
    }
}

/// Trains `model` against `reference`, or goes on from the checkpoint in the job's folder.
///
/// # Errors
///
/// [`Stopped`](rapport_store::Stopped) on Ctrl-C, once the step under way is saved; a score, loss or gradient that is
/// not finite; what the reward function fails with; or a failure to write.
pub fn train<B: TrainBackend>(
    mut model: ActorCritic<B>,
    reference: &Decoder<B::InnerBackend>,
    job: &PpoJob<'_>,
    reward: &mut dyn RewardFunction,
    device: &B::Device,
) -> Result<PpoOutcome<Decoder<B::InnerBackend>>> {
    let settings = job.settings;
    ensure!(!job.prompts.is_empty(), "there are no prompts to reply to");
    let total = settings.steps(job.prompts.len());
    let warmup = (settings.warmup_ratio * total as f64).ceil() as usize;
    let mut adamw = AdamW::<B>::new(settings.optimizer);
    let checkpoints = Checkpoints::open(job.dir)?;
    let mut state = PpoState::new(settings.algorithm.kl_coef());
    if let Some(saved) = checkpoints.load::<PpoState>()? {
        adamw.restore(&model, saved.optimizer, saved.state.updates, device);
        model = weights::restore(model, saved.model);
        state = saved.state;
    }
    let mut metrics = Metrics::open(&job.dir.join("metrics.jsonl"), state.step as u64)?;
    let progress = Progress::resume(job.label, total, state.step);
    while state.step < total {
        let started = Instant::now();
        let step = state.step;
        let factor = settings.lr_scheduler_type.factor(step, warmup, total);
        let learning_rate = settings.learning_rate * factor;
        let untracked = model.valid();
        let drawn = (job.seed, step);
        // Weights are brought into the precision of its products once, not at every token.
        let precision = untracked.policy.compute.precision;
        let sampler = untracked.policy.clone().frozen(precision);
        let episodes = sample(&sampler, job.prompts, settings, drawn, device);
        drop(sampler);
        let sampled = started.elapsed().as_secs_f64();
        let minibatches = |epoch| minibatches(settings, job.seed, step, epoch);
        let first = minibatches(0).concat();
        let mut known = score_episodes(&untracked, reference, &episodes, &first, settings);
        known.scores = scores(job, &episodes, reward)?;
        let scored = started.elapsed().as_secs_f64();
        let targets = targets(
            &known,
            settings.num_generations,
            &settings.algorithm,
            state.kl_coef,
        );
        if settings.keep_best && state.is_best(&targets.objective) {
            checkpoints.keep(step, &model.policy)?;
        }
        drop(untracked);

        let updating = Step {
            settings,
            episodes: &episodes,
            known: &known,
            targets: &targets,
        };
        let mut updates = Updates::default();
        'epochs: for epoch in 0..settings.num_ppo_epochs {
            for minibatch in minibatches(epoch) {
                let drawn = train::drawn(job.seed, adamw.steps()) ^ job.seed;
                let (gradients, update) = match model.dropped(drawn) {
                    Some(dropped) => updating.gradients(&dropped, &minibatch),
                    None => updating.gradients(&model, &minibatch),
                };
                if settings.target_kl > 0.0 && update.approxkl > settings.target_kl {
                    updates.stopped = true;
                    break 'epochs;
                }
                let norm;
                (model, norm) = adamw.step(model, gradients, learning_rate);
                if !norm.is_finite() || !(update.policy_loss + update.value_loss).is_finite() {
                    bail!(
                        "step {}: the loss or its gradient is not a finite number (policy {}, value {}, \
                         gradient norm {norm}); lower learning_rate",
                        step + 1,
                        update.policy_loss,
                        update.value_loss
                    );
                }
                updates.add(update, norm);
            }
        }
        let mut row = line(settings, &state, &episodes, &targets.objective, &updates);
        job.stop.step_took(started.elapsed());
        let seconds = started.elapsed().as_secs_f64();
        row.insert("lr".into(), json!(learning_rate));
        row.insert("seconds".into(), json!(seconds));
        row.insert("seconds/sampling".into(), json!(sampled));
        row.insert("seconds/scoring".into(), json!(scored - sampled));
        row.insert("eps".into(), json!(episodes.len() as f64 / seconds));
        state.after(settings, &targets.objective, &updates);
        metrics.write(&row)?;
        progress.at(state.step);
        progress.message(format!(
            "score {:.3}, KL {:.3}",
            targets.objective.scores, targets.objective.kl
        ));
        let stopping = job.stop.requested() && state.step < total;
        let periodic = settings.save_steps > 0 && state.step.is_multiple_of(settings.save_steps);
        if stopping || periodic {
            checkpoints.save(&state, &model, &adamw)?;
        }
        if stopping {
            job.stop.check()?;
        }
    }
    progress.finish();
    drop(adamw);
    let policy = model.valid().policy;
    let policy = match state.best {
        Some(step) => weights::restore(policy, checkpoints.best(step)?),
        None => policy,
    };
    Ok(PpoOutcome {
        policy,
        steps: total,
        kept_step: state.best.unwrap_or(total),
        state,
    })
}

/// The minibatches of one epoch of a step's updates, each in the parts that a gradient is computed of, as groups of
/// replies to one prompt: these stay together, so that their prompt is computed once.
fn minibatches(
    settings: &PpoSettings,
    seed: u64,
    step: usize,
    epoch: usize,
) -> Vec<Vec<Vec<usize>>> {
    let generations = settings.num_generations;
    let order = draw::groups(settings.prompts_per_step(), seed, step, epoch);
    let parts = |groups: &[usize]| {
        let parts = groups.chunks(settings.per_device_train_batch_size / generations);
        parts.map(<[usize]>::to_vec).collect()
    };
    let minibatches = order.chunks(settings.minibatch_size() / generations);
    minibatches.map(parts).collect()
}

/// The replies' scores, clipped, less what a missing EOS costs.
fn scores(
    job: &PpoJob<'_>,
    episodes: &[Episode],
    reward: &mut dyn RewardFunction,
) -> Result<Vec<f64>> {
    let settings = job.settings;
    let asked: Vec<Asked<'_>> = episodes
        .iter()
        .map(|episode| Asked {
            prompt: episode.prompt,
            reply: episode.reply(),
            finished: episode.finished,
        })
        .collect();
    let mut scores = reward.rewards(&asked)?;
    ensure!(
        scores.len() == episodes.len(),
        "the reward function gave {} scores to {} replies",
        scores.len(),
        episodes.len()
    );
    for (score, episode) in scores.iter_mut().zip(episodes) {
        ensure!(
            score.is_finite(),
            "a reply to prompt {} has the score {score}, which is not a finite number",
            episode.prompt
        );
        if let Some((low, high)) = settings.reward_clip_range {
            *score = score.clamp(low, high);
        }
        if !episode.finished {
            *score -= settings.missing_eos_penalty;
        }
    }
    Ok(scores)
}
