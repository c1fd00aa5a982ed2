//! What a run of reinforcement learning is told, by TRL's names.

use crate::generate::Sampling;
use crate::train::optimizer::AdamWConfig;
use crate::train::ppo::advantages::ScaleRewards;
use crate::train::ppo::kl::{AdaptiveKl, KlEstimator};
use crate::train::schedule::Schedule;

/// Settings that every algorithm has.
#[derive(Clone, Debug)]
pub struct PpoSettings {
    pub algorithm: Algorithm,
    pub learning_rate: f64,
    pub lr_scheduler_type: Schedule,
    pub warmup_ratio: f64,
    pub optimizer: AdamWConfig,
    /// Replies of which a gradient is computed at once; a multiple of `num_generations`.
    pub per_device_train_batch_size: usize,
    /// Such parts of a minibatch.
    pub gradient_accumulation_steps: usize,
    /// Minibatches that a step's replies are divided into, each of one update an epoch.
    pub num_mini_batches: usize,
    /// Replies sampled to each prompt.
    pub num_generations: usize,
    /// Replies sampled in all; 0 leaves it to the epochs.
    pub total_episodes: usize,
    /// Times that each prompt is replied to `num_generations` times.
    pub num_train_epochs: f64,
    /// Times that a step's replies are gone through (`num_ppo_epochs`, `num_iterations`).
    pub num_ppo_epochs: usize,
    /// How far a probability may gain from moving (`cliprange`, `epsilon`).
    pub cliprange: f64,
    /// What a nat of mean entropy is worth in the loss; 0: nothing.
    pub entropy_coef: f64,
    /// A step's updates end once a minibatch's `approxkl` is above this; 0: never.
    pub target_kl: f64,
    /// Taken off the score of a reply that does not end in EOS.
    pub missing_eos_penalty: f64,
    /// Scores are brought into this range first.
    pub reward_clip_range: Option<(f64, f64)>,
    /// How replies are drawn: `temperature`, `max_new_tokens` and the EOS alone, since log-probs must be those of
    /// the distribution that was sampled.
    pub sampling: Sampling,
    /// Replies under way at once.
    pub generation_batch_size: usize,
    /// Steps between saved states; 0 saves none before the end.
    pub save_steps: usize,
    /// Whether the weights that scored best are kept instead of the last.
    pub keep_best: bool,
}

/// How rewards become a loss, with the settings that only this one has.
#[derive(Clone, Debug)]
pub enum Algorithm {
    Ppo(Ppo),
    Rloo(Rloo),
    Grpo(Grpo),
}

/// Proximal policy optimization with a value head (arXiv 1707.06347; for language models, arXiv 1909.08593).
#[derive(Clone, Debug)]
pub struct Ppo {
    /// What a nat of KL costs, to begin with where `adaptive`.
    pub kl_coef: f64,
    pub kl_estimator: KlEstimator,
    pub adaptive: Option<AdaptiveKl>,
    pub gamma: f64,
    pub lam: f64,
    pub whiten_rewards: bool,
    pub whiten_advantages: bool,
    pub vf_coef: f64,
    pub cliprange_value: f64,
}

/// TRL's.
impl Default for Ppo {
    fn default() -> Self {
        Self {
            kl_coef: 0.05,
            kl_estimator: KlEstimator::K1,
            adaptive: None,
            gamma: 1.0,
            lam: 0.95,
            whiten_rewards: false,
            whiten_advantages: true,
            vf_coef: 0.1,
            cliprange_value: 0.2,
        }
    }
}

/// REINFORCE with a leave-one-out baseline (arXiv 2402.14740): a reply counts as a whole.
#[derive(Clone, Debug)]
pub struct Rloo {
    /// What a nat of KL costs, in the reward.
    pub beta: f64,
    pub normalize_advantages: bool,
}

/// TRL's.
impl Default for Rloo {
    fn default() -> Self {
        Self {
            beta: 0.05,
            normalize_advantages: false,
        }
    }
}

/// Group-relative policy optimization (arXiv 2402.03300): one advantage for all tokens of a reply.
#[derive(Clone, Debug)]
pub struct Grpo {
    /// What a nat of KL costs, in the loss.
    pub beta: f64,
    pub scale_rewards: ScaleRewards,
    pub loss_type: Average,
}

/// TRL's.
impl Default for Grpo {
    fn default() -> Self {
        Self {
            beta: 0.0,
            scale_rewards: ScaleRewards::Group,
            loss_type: Average::Tokens,
        }
    }
}

/// Over what GRPO's losses of tokens are averaged, by TRL's `loss_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// All tokens of a minibatch alike (`dapo`, arXiv 2503.14476).
    Tokens,
    /// Each reply's tokens, then the replies (`grpo`).
    Replies,
    /// All tokens, over the most that there could be (`dr_grpo`, arXiv 2503.20783).
    Room,
}

impl Algorithm {
    /// What a nat of KL costs at the beginning.
    pub fn kl_coef(&self) -> f64 {
        match self {
            Self::Ppo(ppo) => ppo.kl_coef,
            Self::Rloo(rloo) => rloo.beta,
            Self::Grpo(grpo) => grpo.beta,
        }
    }

    /// The estimator of the KL that it penalises.
    pub fn kl_estimator(&self) -> KlEstimator {
        match self {
            Self::Ppo(ppo) => ppo.kl_estimator,
            Self::Rloo(_) => KlEstimator::K1,
            Self::Grpo(_) => KlEstimator::K3,
        }
    }

    /// Whether it has a value head.
    pub fn has_values(&self) -> bool {
        matches!(self, Self::Ppo(_))
    }

    /// Whether ratios and advantages are of whole replies instead of tokens.
    pub fn by_reply(&self) -> bool {
        matches!(self, Self::Rloo(_))
    }
}

impl PpoSettings {
    /// Replies of one step.
    pub fn batch_size(&self) -> usize {
        self.minibatch_size().saturating_mul(self.num_mini_batches)
    }

    /// Replies of one update.
    pub fn minibatch_size(&self) -> usize {
        self.per_device_train_batch_size
            .saturating_mul(self.gradient_accumulation_steps)
    }

    /// Prompts of one step.
    pub fn prompts_per_step(&self) -> usize {
        self.batch_size() / self.num_generations
    }

    /// Steps of the whole run over `prompts` prompts.
    pub fn steps(&self, prompts: usize) -> usize {
        let episodes = match self.total_episodes {
            0 => {
                let each = prompts.saturating_mul(self.num_generations);
                (self.num_train_epochs * each as f64).ceil() as usize
            }
            episodes => episodes,
        };
        episodes.div_ceil(self.batch_size())
    }
}
