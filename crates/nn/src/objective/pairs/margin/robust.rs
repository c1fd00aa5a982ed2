//! Robust DPO (Chowdhury et al., arXiv 2403.00409, equation 12).

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{Margin, PairLogps, Parameters, check};

/// `(-(1 - e) log sigmoid(m) + e log sigmoid(-m)) / (1 - 2e)`: an unbiased estimate of DPO's loss
/// where labels are swapped with probability `e`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Robust {
    pub margin: Margin,
    /// Probability that a pair's labels are swapped, in [0, 0.5).
    pub label_smoothing: f64,
}

impl Pairwise for Robust {
    fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            label_smoothing: Some(&mut self.label_smoothing),
            ..self.margin.parameters()
        }
    }

    fn check(&self) -> Result<(), String> {
        self.margin.check()?;
        check::smoothing(self.label_smoothing)
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let (margin, e) = (self.margin.of(pairs), self.label_smoothing);
        let kept = log_sigmoid(margin.clone()).mul_scalar(e - 1.0);
        let swapped = log_sigmoid(margin.neg()).mul_scalar(e);
        (kept + swapped).div_scalar(1.0 - 2.0 * e)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.margin.reward.beta, pairs)
    }
}
