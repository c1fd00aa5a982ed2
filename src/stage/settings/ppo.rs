//! Settings of reinforcement learning, by TRL's names: each algorithm reads its own, and all read the rest.

use crate::generate::Sampling;
use crate::stage::settings::keys::{
    BATCH, COUNT, Keys, LARGE, POSITIVE, SAMPLES, SIZE, StageRef, Within,
};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::trainer::{read_optimizer, read_save_steps, read_schedule};
use crate::train::ppo::advantages::ScaleRewards;
use crate::train::ppo::kl::{AdaptiveKl, KlEstimator};
use crate::train::ppo::settings::{Average, Grpo, Ppo, Rloo};
use crate::train::ppo::{Algorithm, PpoSettings};

/// Replies that one step may have.
const MOST_REPLIES: usize = 1 << 20;

/// What an algorithm reads by itself.
struct Own {
    algorithm: Algorithm,
    /// Times that a step's replies are gone through.
    epochs: usize,
    /// How far from 1 a ratio may gain.
    range: f64,
    /// TRL's.
    learning_rate: f64,
    /// TRL's, and the fewest that there may be.
    generations: [usize; 2],
    trunk: Trunk,
}

/// Whether the value head has a trunk of its own, and of whose weights: where none are named, of the policy's.
pub type Trunk = Option<Option<StageRef>>;

/// Reads them all but the EOS, which is the tokenizer's.
pub fn read(keys: &mut Keys<'_>) -> (PpoSettings, Trunk) {
    let own = keys.doc("how rewards become a loss").variant(
        "algorithm",
        "ppo",
        &[("ppo", ppo), ("rloo", rloo), ("grpo", grpo)],
    );
    let settings = PpoSettings {
        algorithm: own.algorithm,
        learning_rate: keys.float("learning_rate", own.learning_rate, 0.0..=1.0),
        lr_scheduler_type: read_schedule(keys),
        warmup_ratio: keys.float("warmup_ratio", 0.0, 0.0..=1.0),
        optimizer: read_optimizer(keys),
        per_device_train_batch_size: keys
            .doc("replies of which a gradient is computed at once; a multiple of num_generations")
            .usize("per_device_train_batch_size", 8, 1..=BATCH),
        gradient_accumulation_steps: keys.usize("gradient_accumulation_steps", 1, 1..=BATCH),
        num_mini_batches: keys
            .doc("minibatches that a step's replies are divided into, each of one update an epoch")
            .usize("num_mini_batches", 1, 1..=BATCH),
        num_generations: keys.doc("replies sampled to each prompt").usize(
            "num_generations",
            own.generations[0],
            own.generations[1]..=SAMPLES,
        ),
        total_episodes: keys
            .doc("replies sampled in all, whatever the epochs; 0: the epochs decide")
            .usize("total_episodes", 0, 0..=COUNT),
        num_train_epochs: keys
            .doc("times that each prompt is replied to num_generations times")
            .float("num_train_epochs", 3.0, Within::above(0.0, BATCH as f64)),
        num_ppo_epochs: own.epochs,
        cliprange: own.range,
        entropy_coef: keys
            .doc("what a nat of mean entropy is worth in the loss; 0: nothing")
            .float("entropy_coef", 0.0, 0.0..=LARGE),
        target_kl: keys
            .doc("ends a step's updates once a minibatch's approxkl is above it; 0: never")
            .float("target_kl", 0.0, 0.0..=LARGE),
        missing_eos_penalty: keys
            .doc("taken off the score of a reply that max_new_tokens ended")
            .float("missing_eos_penalty", 0.0, 0.0..=LARGE),
        reward_clip_range: clip_range(keys),
        sampling: Sampling {
            temperature: keys
                .doc("of sampling; log-probs are those at this temperature")
                .float("temperature", 1.0, POSITIVE),
            max_new_tokens: keys.usize("max_new_tokens", 64, 1..=SIZE),
            ..Sampling::default()
        },
        generation_batch_size: keys
            .doc("replies under way at once; does not change the samples")
            .usize("generation_batch_size", 64, 1..=BATCH),
        save_steps: read_save_steps(keys, 50),
        keep_best: keys
            .doc("keep the last weights, or those whose replies scored best")
            .one_of(
                "metric_for_best_model",
                "none",
                &[("none", false), ("objective/scores", true)],
            ),
    };
    let (micro, generations) = (
        settings.per_device_train_batch_size,
        settings.num_generations,
    );
    if !micro.is_multiple_of(generations) {
        keys.problem(
            "per_device_train_batch_size",
            format!(
                "expected a multiple of num_generations ({generations}), since a prompt's replies are computed \
                 together, found {micro}"
            ),
        );
    }
    if settings.batch_size() > MOST_REPLIES {
        keys.problem(
            "num_mini_batches",
            format!(
                "expected at most {MOST_REPLIES} replies a step, which are held at once; per_device_train_batch_size * \
                 gradient_accumulation_steps * num_mini_batches is {}",
                settings.batch_size()
            ),
        );
    }
    (settings, own.trunk)
}

fn ppo(keys: &mut Keys<'_>) -> Own {
    let usual = Ppo::default();
    let kl_coef = keys
        .doc("what a nat of KL to the reference costs in the reward")
        .float("kl_coef", usual.kl_coef, 0.0..=LARGE);
    let kl_estimator = keys
        .doc("k1 is the log-ratio; k3 is never negative")
        .one_of(
            "kl_estimator",
            "k1",
            &[("k1", KlEstimator::K1), ("k3", KlEstimator::K3)],
        );
    let adaptive = keys
        .doc("move kl_coef so that the KL of a reply stays near target")
        .variant_if("adap_kl_ctrl", false, adaptive);
    if adaptive.is_some() && kl_coef == 0.0 {
        keys.problem(
            "kl_coef",
            "an adaptive coefficient that begins at 0 stays there",
        );
    }
    let algorithm = Algorithm::Ppo(Ppo {
        kl_coef,
        kl_estimator,
        adaptive,
        gamma: keys.float("gamma", usual.gamma, 0.0..=1.0),
        lam: keys.float("lam", usual.lam, 0.0..=1.0),
        whiten_rewards: keys.bool("whiten_rewards", usual.whiten_rewards),
        whiten_advantages: keys
            .doc("whether advantages are given mean 0 and variance 1 over a step's tokens")
            .bool("whiten_advantages", usual.whiten_advantages),
        vf_coef: keys.doc("what the value loss weighs").float(
            "vf_coef",
            usual.vf_coef,
            0.0..=LARGE,
        ),
        cliprange_value: keys.doc("how far a value may gain from moving").float(
            "cliprange_value",
            usual.cliprange_value,
            POSITIVE,
        ),
    });
    Own {
        algorithm,
        epochs: epochs(keys, "num_ppo_epochs", 4),
        range: ratio_range(keys, "cliprange"),
        learning_rate: 3e-6,
        generations: [1, 1],
        trunk: keys
            .doc("whether values are read from the policy's own hidden states or a second model's")
            .variant(
                "value_head",
                "separate",
                &[
                    ("shared", |_| None),
                    ("separate", |keys| {
                        let doc = "whose weights that second model starts from; where left out, the policy's";
                        let makes = [Produces::Model, Produces::RewardModel];
                        Some(keys.doc(doc).optional_stage("value_model", &makes))
                    }),
                ],
            ),
    }
}

fn adaptive(keys: &mut Keys<'_>) -> AdaptiveKl {
    let usual = AdaptiveKl::default();
    AdaptiveKl {
        target: keys.doc("the KL to keep to, in nats a reply").float(
            "target",
            usual.target,
            POSITIVE,
        ),
        horizon: keys
            .doc("episodes in which a large error multiplies kl_coef by about 1.2")
            .float("horizon", usual.horizon, POSITIVE),
    }
}

fn rloo(keys: &mut Keys<'_>) -> Own {
    let usual = Rloo::default();
    let algorithm = Algorithm::Rloo(Rloo {
        beta: keys
            .doc("what a nat of KL to the reference costs in the reward")
            .float("beta", usual.beta, 0.0..=LARGE),
        normalize_advantages: keys.bool("normalize_advantages", usual.normalize_advantages),
    });
    of_groups(keys, algorithm, 2)
}

fn grpo(keys: &mut Keys<'_>) -> Own {
    let usual = Grpo::default();
    let algorithm = Algorithm::Grpo(Grpo {
        beta: keys
            .doc("what a nat of KL to the reference costs in the loss")
            .float("beta", usual.beta, 0.0..=LARGE),
        scale_rewards: keys
            .doc("whose deviation advantages are divided by")
            .one_of(
                "scale_rewards",
                "group",
                &[
                    ("group", ScaleRewards::Group),
                    ("batch", ScaleRewards::Batch),
                    ("none", ScaleRewards::None),
                ],
            ),
        loss_type: keys
            .doc("over what the losses of tokens are averaged")
            .one_of(
                "loss_type",
                "dapo",
                &[
                    ("dapo", Average::Tokens),
                    ("grpo", Average::Replies),
                    ("dr_grpo", Average::Room),
                ],
            ),
    });
    of_groups(keys, algorithm, 8)
}

/// What the algorithms read that compare a prompt's replies with one another.
fn of_groups(keys: &mut Keys<'_>, algorithm: Algorithm, generations: usize) -> Own {
    Own {
        algorithm,
        epochs: epochs(keys, "num_iterations", 1),
        range: ratio_range(keys, "epsilon"),
        learning_rate: 1e-6,
        generations: [generations, 2],
        trunk: None,
    }
}

fn epochs(keys: &mut Keys<'_>, key: &str, default: usize) -> usize {
    keys.doc("times that a step's replies are gone through")
        .usize(key, default, 1..=BATCH)
}

fn ratio_range(keys: &mut Keys<'_>, key: &str) -> f64 {
    keys.doc("how far from 1 a ratio of probabilities may gain")
        .float(key, 0.2, POSITIVE)
}

fn clip_range(keys: &mut Keys<'_>) -> Option<(f64, f64)> {
    const KEY: &str = "reward_clip_range";
    let range = keys
        .doc("two numbers that scores are brought between; none: left as they are")
        .floats(KEY, Some(&[]), -LARGE..=LARGE);
    match range[..] {
        [] => None,
        [low, high] if low < high => Some((low, high)),
        _ => {
            keys.problem(KEY, format!("expected [low, high], found {range:?}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
