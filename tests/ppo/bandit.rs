//! Replies of one token, where the best policy is known in closed form.

use burn::module::AutodiffModule;
use rapport::model::config::{DecoderConfig, Family};
use rapport::model::forest::{Branch, Forest};
use rapport::model::{Decoder, weights};
use rapport::store::Stop;
use rapport::train::ppo::advantages::ScaleRewards;
use rapport::train::ppo::settings::{Grpo, Ppo, Rloo};
use rapport::train::ppo::{ActorCritic, Algorithm, Asked, PpoJob, PpoSettings, ValueHead, train};

use crate::support::{Ad, Inner, model};

const TOKENS: usize = 6;

/// Two contexts in which different tokens are good.
const PROMPTS: [[u32; 2]; 2] = [[1, 2], [3, 4]];
const REWARDS: [[f64; TOKENS]; 2] = [
    [0.0, 1.0, 0.2, -0.5, 0.6, 0.0],
    [0.9, -1.0, 0.0, 0.3, 0.3, 1.2],
];

fn config() -> DecoderConfig {
    DecoderConfig {
        intermediate_size: 32,
        max_positions: 8,
        ..DecoderConfig::new(Family::Llama, TOKENS, 16, 1, 2)
    }
}

/// Probabilities of each next token.
fn distribution(model: &Decoder<Inner>, prompt: &[u32]) -> Vec<f64> {
    let sequences: Vec<Vec<u32>> = (0..TOKENS as u32)
        .map(|token| [prompt, &[token]].concat())
        .collect();
    let branches = sequences
        .iter()
        .map(|tokens| Branch::new(tokens, prompt.len()));
    let forest = Forest::pack(&[branches.collect()], 0);
    let logps = weights::host(model.token_logps(&forest));
    logps
        .into_iter()
        .map(|logp| f64::from(logp).exp())
        .collect()
}

/// Trains on the bandit; the starting policy's distributions and the trained one's.
fn learn(settings: &PpoSettings, value: Option<bool>) -> [Vec<Vec<f64>>; 2] {
    let device = Default::default();
    let policy: Decoder<Ad> = model(&config(), 11, &device);
    let reference = policy.valid();
    let value = value.map(|separate| {
        let trunk = separate.then(|| model(&config(), 11, &device));
        ValueHead::zeros(trunk, policy.config.hidden_size, &device)
    });
    let folder = tempfile::tempdir().unwrap();
    let prompts = PROMPTS.map(|prompt| prompt.to_vec());
    let job = PpoJob {
        label: "bandit",
        settings,
        prompts: &prompts,
        dir: folder.path(),
        seed: 1,
        stop: &Stop::new(),
    };
    let mut reward = |asked: &[Asked<'_>]| {
        let reward = |asked: &Asked<'_>| REWARDS[asked.prompt][asked.reply[0] as usize];
        Ok(asked.iter().map(reward).collect())
    };
    let model = ActorCritic { policy, value };
    let outcome = train(model, &reference, &job, &mut reward, &device).unwrap();
    let of = |model: &Decoder<Inner>| PROMPTS.map(|it| distribution(model, &it)).to_vec();
    [of(&reference), of(&outcome.policy)]
}

fn settings(algorithm: Algorithm) -> PpoSettings {
    let mut settings = super::settings(algorithm);
    settings.sampling.max_new_tokens = 1;
    settings.sampling.stop = Vec::new();
    settings.per_device_train_batch_size = 64;
    settings.num_generations = 8;
    settings.num_mini_batches = 1;
    settings.generation_batch_size = 64;
    settings.total_episodes = 64 * 250;
    settings.learning_rate = 1e-2;
    settings
}

/// The best policy where a nat of KL from policy to reference costs `beta`: `softmax(reward / beta + log ref)`.
fn optimum(reference: &[f64], rewards: &[f64], beta: f64) -> Vec<f64> {
    let weights = reference.iter().zip(rewards);
    let weights: Vec<f64> = weights.map(|(p, r)| p * (r / beta).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// The best policy where it is a nat of KL from reference to policy that costs `beta`:
/// `beta ref / (level - reward)`, the level being such that this sums to 1.
fn forward_optimum(reference: &[f64], rewards: &[f64], beta: f64) -> Vec<f64> {
    let of = |level: f64| -> Vec<f64> {
        let both = reference.iter().zip(rewards);
        both.map(|(p, r)| beta * p / (level - r)).collect()
    };
    let largest = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut low, mut high) = (largest, largest + beta);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if of(middle).iter().sum::<f64>() > 1.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    of(high)
}

/// Half the sum of differences: the largest by which the probability of any event is wrong.
fn apart(found: &[f64], expected: &[f64]) -> f64 {
    let both = found.iter().zip(expected);
    0.5 * both
        .map(|(found, expected)| (found - expected).abs())
        .sum::<f64>()
}

fn reaches(
    what: &str,
    settings: &PpoSettings,
    value: Option<bool>,
    best: impl Fn(&[f64], &[f64]) -> Vec<f64>,
) {
    let [before, after] = learn(settings, value);
    for context in 0..2 {
        let best = best(&before[context], &REWARDS[context]);
        let (start, end) = (
            apart(&before[context], &best),
            apart(&after[context], &best),
        );
        assert!(
            start > 0.15 && end < 0.015,
            "{what}: {start} apart at first, {end} at last: {:.3?} for {best:.3?}",
            after[context]
        );
    }
}

const BETA: f64 = 0.5;

#[test]
fn ppo_reaches_the_optimum_under_a_kl_penalty_with_either_value_head() {
    let ppo = Ppo {
        kl_coef: BETA,
        ..super::ppo()
    };
    for separate in [false, true] {
        let what = if separate { "separate" } else { "shared" };
        let settings = settings(Algorithm::Ppo(ppo.clone()));
        reaches(what, &settings, Some(separate), |reference, rewards| {
            optimum(reference, rewards, BETA)
        });
    }
}

#[test]
fn rloo_reaches_the_optimum_under_a_kl_penalty() {
    let rloo = Rloo {
        beta: BETA,
        normalize_advantages: false,
    };
    let settings = settings(Algorithm::Rloo(rloo));
    reaches("rloo", &settings, None, |reference, rewards| {
        optimum(reference, rewards, BETA)
    });
}

/// GRPO's penalty has the gradient of the KL from reference to policy; and a baseline that a reply is part of leaves
/// `1 - 1 / generations` of the reward's.
#[test]
fn grpo_reaches_the_optimum_of_its_own_penalty() {
    let grpo = Grpo {
        beta: BETA,
        scale_rewards: ScaleRewards::None,
        ..super::grpo()
    };
    let settings = settings(Algorithm::Grpo(grpo));
    reaches("grpo", &settings, None, |reference, rewards| {
        let rewards: Vec<f64> = rewards.iter().map(|reward| reward * 7.0 / 8.0).collect();
        forward_optimum(reference, &rewards, BETA)
    });
}

#[test]
fn without_a_penalty_every_algorithm_takes_the_best_token() {
    let (mut ppo, mut rloo) = (super::ppo(), super::rloo());
    (ppo.kl_coef, rloo.beta) = (0.0, 0.0);
    let algorithms = [
        (Algorithm::Ppo(ppo.clone()), Some(false)),
        (Algorithm::Ppo(ppo), Some(true)),
        (Algorithm::Rloo(rloo), None),
        (Algorithm::Grpo(super::grpo()), None),
    ];
    for (algorithm, value) in algorithms {
        let mut settings = settings(algorithm);
        settings.total_episodes = 64 * 100;
        let [_, after] = learn(&settings, value);
        let best = [after[0][1], after[1][5]];
        assert!(
            best.iter().all(|&p| p > 0.9),
            "{:?}: {best:.3?}",
            settings.algorithm
        );
    }
}
