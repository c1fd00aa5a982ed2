//! Reinforcement learning: losses and steps against references, known optima, and resuming.

mod bandit;
mod losses;
mod recipe;
mod references;
mod run;

use rapport::generate::Sampling;
use rapport::train::optimizer::AdamWConfig;
use rapport::train::ppo::advantages::ScaleRewards;
use rapport::train::ppo::kl::KlEstimator;
use rapport::train::ppo::settings::{Average, Grpo, Ppo, Rloo};
use rapport::train::ppo::{Algorithm, PpoSettings};
use rapport::train::schedule::Schedule;

fn ppo() -> Ppo {
    Ppo {
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

fn rloo() -> Rloo {
    Rloo {
        beta: 0.05,
        normalize_advantages: false,
    }
}

fn grpo() -> Grpo {
    Grpo {
        beta: 0.0,
        scale_rewards: ScaleRewards::Group,
        loss_type: Average::Tokens,
    }
}

/// Two replies to each of four prompts a step, updated twice in two minibatches.
fn settings(algorithm: Algorithm) -> PpoSettings {
    PpoSettings {
        algorithm,
        learning_rate: 1e-3,
        lr_scheduler_type: Schedule::Linear,
        warmup_ratio: 0.0,
        optimizer: AdamWConfig {
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
        },
        per_device_train_batch_size: 4,
        gradient_accumulation_steps: 1,
        num_mini_batches: 2,
        num_generations: 2,
        total_episodes: 0,
        num_train_epochs: 1.0,
        num_ppo_epochs: 2,
        cliprange: 0.2,
        entropy_coef: 0.0,
        target_kl: 0.0,
        missing_eos_penalty: 0.0,
        reward_clip_range: None,
        sampling: Sampling {
            max_new_tokens: 6,
            stop: vec![0],
            ..Sampling::default()
        },
        generation_batch_size: 8,
        save_steps: 0,
        keep_best: false,
    }
}
