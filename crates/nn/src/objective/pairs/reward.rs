//! The implicit reward of a completion, and its margin within a pair (DPO, Rafailov et al., arXiv
//! 2305.18290, section 4).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::{Divergence, PairLogps, Parameters, check};

/// `beta * log(policy / reference)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reward {
    /// How strongly the policy is held to the reference; above 0.
    pub beta: f64,
    /// Log-probs are a token's mean instead of the completion's sum.
    pub length_average: bool,
}

/// TRL's: summed log-probs.
impl Default for Reward {
    fn default() -> Self {
        Self::new(0.1)
    }
}

impl Reward {
    /// Of summed log-probs.
    pub fn new(beta: f64) -> Self {
        Self {
            beta,
            length_average: false,
        }
    }

    pub(super) fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            beta: Some(&mut self.beta),
            length_average: Some(&mut self.length_average),
            ..Parameters::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        check::positive("beta", self.beta)
    }

    /// Log-ratios of both sides, without `beta`.
    pub(super) fn ratios<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        pairs.ratios(self.length_average)
    }

    /// Rewards of both sides.
    pub(super) fn of<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        self.ratios(pairs).map(|ratio| ratio.mul_scalar(self.beta))
    }
}

/// How much more a pair's chosen completion is rewarded than its rejected one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Margin {
    pub reward: Reward,
    pub f_divergence: Divergence,
}

impl Margin {
    /// Of summed log-probs, and reverse KL: DPO's.
    pub fn new(beta: f64) -> Self {
        Self {
            reward: Reward::new(beta),
            f_divergence: Divergence::ReverseKl,
        }
    }

    pub(super) fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            f_divergence: Some(&mut self.f_divergence),
            ..self.reward.parameters()
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.reward.check()?;
        self.f_divergence.check()
    }

    /// The margin without `beta`.
    pub(super) fn unscaled<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let scores = pairs
            .ratios(false)
            .map(|ratio| self.f_divergence.score(ratio));
        let [chosen, rejected] = pairs.per_token(scores, self.reward.length_average);
        chosen - rejected
    }

    /// The margin.
    pub(super) fn of<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        self.unscaled(pairs).mul_scalar(self.reward.beta)
    }
}
