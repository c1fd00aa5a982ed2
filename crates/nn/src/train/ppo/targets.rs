//! From a step's scores and log-probs to what its updates aim at.

use serde::{Deserialize, Serialize};

use crate::train::ppo::advantages::{
    group_normalised, leave_one_out, mean_and_deviation, normalise, whiten,
};
use crate::train::ppo::gae;
use crate::train::ppo::settings::{Algorithm, Ppo};

/// What is known of a step's replies before its first update; the replies to one prompt follow each other.
#[derive(Clone, Debug, Default)]
pub struct ScoredEpisodes {
    /// Each reply's score.
    pub scores: Vec<f64>,
    /// Log-probs of each reply's tokens, when they were sampled.
    pub logps: Vec<Vec<f64>>,
    /// The reference's.
    pub reference: Vec<Vec<f64>>,
    /// Values of the states before them; empty where there is no value head.
    pub values: Vec<Vec<f64>>,
}

/// What the updates aim at, by reply.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// One a token; for RLOO one for the whole reply.
    pub advantages: Vec<Vec<f64>>,
    /// One a token; empty where there is no value head.
    pub returns: Vec<Vec<f64>>,
    /// Means over replies, by TRL's names.
    pub objective: Objective,
}

/// What the replies achieved: means over replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The estimated KL to the reference, summed over a reply's tokens.
    #[serde(with = "rapport_store::numbers")]
    pub kl: f64,
    /// Negative log-prob of a reply.
    #[serde(with = "rapport_store::numbers")]
    pub entropy: f64,
    /// What the KL cost.
    #[serde(with = "rapport_store::numbers")]
    pub non_score_reward: f64,
    /// Score less cost.
    #[serde(with = "rapport_store::numbers")]
    pub rlhf_reward: f64,
    #[serde(with = "rapport_store::numbers")]
    pub scores: f64,
    /// Share of prompts whose replies all have one reward, and so teach nothing; for several replies a prompt.
    #[serde(default, with = "rapport_store::numbers")]
    pub frac_reward_zero_std: Option<f64>,
}

/// Advantages and returns of a step, `generations` replies a prompt, at the KL's present cost.
pub fn targets(
    known: &ScoredEpisodes,
    generations: usize,
    algorithm: &Algorithm,
    kl_coef: f64,
) -> Targets {
    let estimator = algorithm.kl_estimator();
    let kl: Vec<Vec<f64>> = known
        .logps
        .iter()
        .zip(&known.reference)
        .map(|(policy, reference)| {
            let both = policy.iter().zip(reference);
            both.map(|(&policy, &reference)| estimator.of(policy, reference))
                .collect()
        })
        .collect();
    let sums: Vec<f64> = kl.iter().map(|kl| kl.iter().sum()).collect();
    let (advantages, returns) = match algorithm {
        Algorithm::Ppo(ppo) => by_values(known, &kl, ppo, kl_coef),
        Algorithm::Rloo(rloo) => {
            let both = known.scores.iter().zip(&sums);
            let rewards: Vec<f64> = both.map(|(score, kl)| score - kl_coef * kl).collect();
            let mut advantages = leave_one_out(&rewards, generations);
            if rloo.normalize_advantages {
                normalise(&mut advantages);
            }
            (
                advantages.into_iter().map(|it| vec![it]).collect(),
                Vec::new(),
            )
        }
        Algorithm::Grpo(grpo) => {
            let advantages = group_normalised(&known.scores, generations, grpo.scale_rewards);
            let spread = advantages.iter().zip(&known.logps);
            let spread = spread.map(|(&advantage, tokens)| vec![advantage; tokens.len()]);
            (spread.collect(), Vec::new())
        }
    };
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let values: Vec<f64> = values.collect();
        mean_and_deviation(&values).0
    };
    let kl = mean(&mut sums.into_iter());
    let scores = mean(&mut known.scores.iter().copied());
    let entropies = known.logps.iter().map(|logps| -logps.iter().sum::<f64>());
    let groups = known.scores.chunks(generations);
    let alike = |group: &[f64]| f64::from(mean_and_deviation(group).1 < 1e-8);
    Targets {
        advantages,
        returns,
        objective: Objective {
            kl,
            entropy: mean(&mut { entropies }),
            non_score_reward: -kl_coef * kl,
            rlhf_reward: scores - kl_coef * kl,
            scores,
            frac_reward_zero_std: (generations > 1).then(|| mean(&mut { groups.map(alike) })),
        },
    }
}

/// Rewards by token, the score at the last; generalised advantages of them, whitened over all tokens, and
/// returns.
fn by_values(
    known: &ScoredEpisodes,
    kl: &[Vec<f64>],
    ppo: &Ppo,
    kl_coef: f64,
) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let mut rewards: Vec<Vec<f64>> = kl
        .iter()
        .zip(&known.scores)
        .map(|(kl, score)| {
            let mut rewards: Vec<f64> = kl.iter().map(|kl| -kl_coef * kl).collect();
            if let Some(last) = rewards.last_mut() {
                *last += score;
            }
            rewards
        })
        .collect();
    if ppo.whiten_rewards {
        over_all(&mut rewards, |rewards| whiten(rewards, false));
    }
    let both = rewards.iter().zip(&known.values);
    let mut advantages: Vec<Vec<f64>> = both
        .map(|(rewards, values)| gae::advantages(rewards, values, ppo.gamma, ppo.lam))
        .collect();
    let both = advantages.iter().zip(&known.values);
    let returns = both
        .map(|(advantages, values)| advantages.iter().zip(values).map(|(a, v)| a + v).collect())
        .collect();
    if ppo.whiten_advantages {
        over_all(&mut advantages, |advantages| whiten(advantages, true));
    }
    (advantages, returns)
}

/// Changes the values of all replies together.
fn over_all(values: &mut [Vec<f64>], change: impl Fn(&mut [f64])) {
    let mut flat: Vec<f64> = values.iter().flatten().copied().collect();
    change(&mut flat);
    let mut changed = flat.into_iter();
    for (place, value) in values.iter_mut().flatten().zip(&mut changed) {
        *place = value;
    }
}
