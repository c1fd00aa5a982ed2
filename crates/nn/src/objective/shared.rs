//! What belongs to a whole optimizer step rather than to one of its micro-batches.

use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Counts that losses are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Normaliser {
    pub examples: usize,
    /// Scored tokens of each example's first branch.
    pub tokens: usize,
    /// What the examples weigh, as a [scoring head's loss](crate::objective::Score) counts them.
    pub weight: f64,
}

impl AddAssign for Normaliser {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.tokens += other.tokens;
        self.weight += other.weight;
    }
}

impl Sum for Normaliser {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut all, counts| {
            all += counts;
            all
        })
    }
}

/// Sums over examples, to be added up over a step's micro-batches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    pub examples: usize,
    /// Log-ratios of the mismatched completions (KTO).
    pub kl: f64,
    /// Rewards (BCO).
    pub rewards: f64,
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.kl += other.kl;
        self.rewards += other.rewards;
    }
}

impl Sum for Statistics {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut all, part| {
            all += part;
            all
        })
    }
}

/// What a step's losses all read; none of it carries a gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shared {
    /// KTO's estimate of the KL from policy to reference, in nats a completion; never below 0.
    pub kl: f64,
    /// BCO's reward shift.
    pub shift: f64,
}

impl Shared {
    /// Of a step's statistics and the rewards seen so far. In training the step's rewards are
    /// [taken in](Running::update) before; a validation leaves them out.
    pub fn new(statistics: &Statistics, running: &Running) -> Self {
        let kl = statistics.kl / statistics.examples.max(1) as f64;
        Self {
            // `max` would turn a log-prob that is not a number into 0 and hide it.
            kl: if kl < 0.0 { 0.0 } else { kl },
            shift: running.mean(),
        }
    }
}

/// Mean of all rewards seen in training, kept from step to step: the state behind BCO's shift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Running {
    examples: usize,
    mean: f64,
}

impl Running {
    /// Takes in a step's rewards.
    pub fn update(&mut self, statistics: &Statistics) {
        if statistics.examples == 0 {
            return;
        }
        self.examples += statistics.examples;
        let expected = self.mean * statistics.examples as f64;
        self.mean += (statistics.rewards - expected) / self.examples as f64;
    }

    /// The mean so far; 0 before any.
    pub fn mean(&self) -> f64 {
        self.mean
    }
}
