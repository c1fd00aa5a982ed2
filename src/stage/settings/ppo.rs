//! Settings of reinforcement learning, by TRL's names. Those of another algorithm than the chosen one are refused.

use crate::generate::Sampling;
use crate::stage::settings::keys::{BATCH, COUNT, Keys, LARGE, POSITIVE, SAMPLES, SIZE, Within};
use crate::stage::settings::trainer::{read_optimizer, read_save_steps, read_schedule};
use crate::train::ppo::advantages::ScaleRewards;
use crate::train::ppo::kl::{AdaptiveKl, KlEstimator};
use crate::train::ppo::settings::{Average, Grpo, Ppo, Rloo};
use crate::train::ppo::{Algorithm, PpoSettings};

/// Replies that one step may have.
const MOST_REPLIES: usize = 1 << 20;

/// What only one algorithm, or two of them, read.
const OWN: [(&str, &[&str]); 3] = [
    (
        "ppo",
        &[
            "kl_coef",
            "kl_estimator",
            "adap_kl_ctrl",
            "target",
            "horizon",
            "gamma",
            "lam",
            "whiten_rewards",
            "whiten_advantages",
            "vf_coef",
            "cliprange",
            "cliprange_value",
            "num_ppo_epochs",
            "value_head",
            "value_model",
        ],
    ),
    (
        "rloo",
        &["beta", "normalize_advantages", "num_iterations", "epsilon"],
    ),
    (
        "grpo",
        &[
            "beta",
            "scale_rewards",
            "loss_type",
            "num_iterations",
            "epsilon",
        ],
    ),
];

/// Reads them all but the value head's and the EOS, which is the tokenizer's.
pub fn read(keys: &mut Keys<'_>) -> PpoSettings {
    let name =
        keys.doc("how rewards become a loss")
            .choice("algorithm", "ppo", &["ppo", "rloo", "grpo"]);
    refuse_others(keys, name);
    let algorithm = match name {
        "rloo" => Algorithm::Rloo(rloo(keys)),
        "grpo" => Algorithm::Grpo(grpo(keys)),
        _ => Algorithm::Ppo(ppo(keys)),
    };
    let by_value = algorithm.has_values();
    let (epochs, epochs_default, range) = match by_value {
        true => ("num_ppo_epochs", 4, "cliprange"),
        false => ("num_iterations", 1, "epsilon"),
    };
    // TRL's.
    let (learning_rate, generations) = match name {
        "rloo" => (1e-6, 2),
        "grpo" => (1e-6, 8),
        _ => (3e-6, 1),
    };
    let settings = PpoSettings {
        algorithm,
        learning_rate: keys.float("learning_rate", learning_rate, 0.0..=1.0),
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
            generations,
            if by_value { 1 } else { 2 }..=SAMPLES,
        ),
        total_episodes: keys
            .doc("replies sampled in all, whatever the epochs; 0: the epochs decide")
            .usize("total_episodes", 0, 0..=COUNT),
        num_train_epochs: keys
            .doc("times that each prompt is replied to num_generations times")
            .float("num_train_epochs", 3.0, Within::above(0.0, BATCH as f64)),
        num_ppo_epochs: keys
            .doc("times that a step's replies are gone through")
            .usize(epochs, epochs_default, 1..=BATCH),
        cliprange: keys
            .doc("how far from 1 a ratio of probabilities may gain")
            .float(range, 0.2, POSITIVE),
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
    settings
}

/// Reports a key that is given though it is read only where another has another value.
pub fn refuse(keys: &mut Keys<'_>, key: &str, only_where: &str) {
    if keys.raw(key).is_some() {
        keys.problem(key, format!("read only where {only_where}; leave it out"));
    }
}

/// Reports every key that only other algorithms read.
fn refuse_others(keys: &mut Keys<'_>, chosen: &str) {
    let own = OWN.iter().find(|(name, _)| *name == chosen);
    let own = own.map_or(&[][..], |(_, own)| own);
    let mut seen = Vec::new();
    for key in OWN.iter().flat_map(|(_, keys)| *keys) {
        if own.contains(key) || seen.contains(&key) || keys.raw(key).is_none() {
            continue;
        }
        seen.push(key);
        let readers = OWN.iter().filter(|(_, keys)| keys.contains(key));
        let readers: Vec<&str> = readers.map(|(name, _)| *name).collect();
        keys.problem(
            key,
            format!(
                "algorithm = \"{chosen}\" does not read it, {} does; leave it out",
                readers.join(" or ")
            ),
        );
    }
}

fn ppo(keys: &mut Keys<'_>) -> Ppo {
    let kl_coef = keys
        .doc("what a nat of KL to the reference costs in the reward")
        .float("kl_coef", 0.05, 0.0..=LARGE);
    let kl_estimator = keys
        .doc("k1 is the log-ratio; k3 is never negative")
        .one_of(
            "kl_estimator",
            "k1",
            &[("k1", KlEstimator::K1), ("k3", KlEstimator::K3)],
        );
    let adaptive = keys
        .doc("move kl_coef so that the KL of a reply stays near target")
        .bool("adap_kl_ctrl", false);
    if !adaptive {
        for key in ["target", "horizon"] {
            refuse(keys, key, "adap_kl_ctrl = true");
        }
    } else if kl_coef == 0.0 {
        keys.problem(
            "kl_coef",
            "an adaptive coefficient that begins at 0 stays there",
        );
    }
    Ppo {
        kl_coef,
        kl_estimator,
        adaptive: adaptive.then(|| AdaptiveKl {
            target: keys
                .doc("the KL to keep to, in nats a reply")
                .float("target", 6.0, POSITIVE),
            horizon: keys
                .doc("episodes in which a large error multiplies kl_coef by about 1.2")
                .float("horizon", 10000.0, POSITIVE),
        }),
        gamma: keys.float("gamma", 1.0, 0.0..=1.0),
        lam: keys.float("lam", 0.95, 0.0..=1.0),
        whiten_rewards: keys.bool("whiten_rewards", false),
        whiten_advantages: keys
            .doc("whether advantages are given mean 0 and variance 1 over a step's tokens")
            .bool("whiten_advantages", true),
        vf_coef: keys
            .doc("what the value loss weighs")
            .float("vf_coef", 0.1, 0.0..=LARGE),
        cliprange_value: keys.doc("how far a value may gain from moving").float(
            "cliprange_value",
            0.2,
            POSITIVE,
        ),
    }
}

fn rloo(keys: &mut Keys<'_>) -> Rloo {
    Rloo {
        beta: keys
            .doc("what a nat of KL to the reference costs in the reward")
            .float("beta", 0.05, 0.0..=LARGE),
        normalize_advantages: keys.bool("normalize_advantages", false),
    }
}

fn grpo(keys: &mut Keys<'_>) -> Grpo {
    Grpo {
        beta: keys
            .doc("what a nat of KL to the reference costs in the loss")
            .float("beta", 0.0, 0.0..=LARGE),
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
    }
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
mod tests {
    use std::path::Path;

    use super::*;
    use crate::stage::settings::keys::{Node, Reading, Scope};

    fn with(text: &str) -> (PpoSettings, Vec<String>) {
        let node = Node::parse(Path::new("r.toml"), text).unwrap();
        let (scope, mut found) = (Scope::default(), Reading::default());
        let mut keys = Keys::new(&scope, &node, &[], &mut found);
        let settings = read(&mut keys);
        drop(keys);
        let problems = found.problems.iter().map(ToString::to_string);
        (settings, problems.collect())
    }

    #[test]
    fn each_algorithm_has_the_defaults_of_its_trainer() {
        let (ppo, problems) = with("");
        assert_eq!(problems, [""; 0]);
        assert_eq!((ppo.num_ppo_epochs, ppo.num_generations), (4, 1));
        assert_eq!((ppo.learning_rate, ppo.algorithm.kl_coef()), (3e-6, 0.05));
        let (rloo, problems) = with("algorithm = \"rloo\"");
        assert_eq!(problems, [""; 0]);
        assert_eq!((rloo.num_ppo_epochs, rloo.num_generations), (1, 2));
        let (grpo, problems) =
            with("algorithm = \"grpo\"\nbeta = 0.04\nreward_clip_range = [-1, 1]");
        assert_eq!(problems, [""; 0]);
        assert_eq!((grpo.num_generations, grpo.algorithm.kl_coef()), (8, 0.04));
        assert_eq!(grpo.reward_clip_range, Some((-1.0, 1.0)));
    }

    #[test]
    fn what_another_algorithm_reads_is_refused_by_name() {
        for (chosen, own) in OWN {
            for (reader, key) in OWN
                .iter()
                .flat_map(|(name, keys)| keys.iter().map(move |key| (name, key)))
            {
                // Whatever it is set to: a key that is refused is not read.
                let (_, problems) = with(&format!("algorithm = \"{chosen}\"\n{key} = []"));
                let refused = problems.iter().any(|it| it.contains("does not read it"));
                assert_eq!(
                    refused,
                    !own.contains(key),
                    "{chosen}, {key} of {reader}: {problems:?}"
                );
            }
        }
        let (_, problems) = with("algorithm = \"rloo\"\nlam = 0.9");
        assert_eq!(
            problems,
            ["r.toml:2: lam: algorithm = \"rloo\" does not read it, ppo does; leave it out"]
        );
    }

    #[test]
    fn settings_that_do_not_go_together_are_problems() {
        for (text, key) in [
            ("num_generations = 3", "per_device_train_batch_size"),
            ("target = 3.0", "target"),
            ("adap_kl_ctrl = true\nkl_coef = 0", "kl_coef"),
            ("reward_clip_range = [1, 0]", "reward_clip_range"),
            ("temperature = 0", "temperature"),
            (
                "algorithm = \"rloo\"\nnum_generations = 1",
                "num_generations",
            ),
            ("top_p = 0.9", "top_p"),
            (
                "gradient_accumulation_steps = 1000000\nnum_mini_batches = 1000000",
                "num_mini_batches",
            ),
        ] {
            let (_, problems) = with(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(key), "{text}: {problems:?}");
        }
    }
}
