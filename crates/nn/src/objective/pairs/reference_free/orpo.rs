//! Odds ratio preference optimization (ORPO, Hong et al., arXiv 2403.07691, equation 6): no reference.

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::objective::pairs::pairwise::Pairwise;
use crate::objective::{PairLogps, Parameters, check};

/// The most likely that a token may be on average, in nats: a completion that is certain has infinite odds.
const MOST_LIKELY: f64 = -1e-6;

/// `nll(w) - beta * log sigmoid(log(odds_w / odds_l))` with `odds = p / (1 - p)` and `p` the geometric mean
/// of a completion's token probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orpo {
    /// What the odds ratio weighs (the paper's `lambda`); above 0.
    pub beta: f64,
}

/// TRL's.
impl Default for Orpo {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl Pairwise for Orpo {
    fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            beta: Some(&mut self.beta),
            ..Parameters::default()
        }
    }

    fn check(&self) -> Result<(), String> {
        check::positive("beta", self.beta)
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let [chosen, rejected] = pairs.policy(true).map(log_odds);
        log_sigmoid(chosen - rejected).mul_scalar(-self.beta)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        pairs.policy(true).map(|logps| logps.mul_scalar(self.beta))
    }

    fn needs_reference(&self) -> bool {
        false
    }

    fn nll(&self) -> f64 {
        1.0
    }
}

/// `log(p / (1 - p))` of `log p`.
fn log_odds<B: Backend>(logp: Tensor<B, 1>) -> Tensor<B, 1> {
    let logp = logp.clamp_max(MOST_LIKELY);
    // 1 - exp(x) = tanh(-x / 2) * (1 + exp(x)): no cancellation near 0.
    let complement = logp.clone().mul_scalar(-0.5).tanh().log() + logp.clone().exp().log1p();
    logp - complement
}
