//! What a loss of pairs is.

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::{PairLogps, Parameters};

/// What each loss of pairs says of itself.
pub(super) trait Pairwise: Default {
    /// What it can be told.
    fn parameters(&mut self) -> Parameters<'_>;

    /// Whether its parameters are in range.
    fn check(&self) -> Result<(), String>;

    /// One loss a pair, `[pairs]`.
    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1>;

    /// Rewards of chosen and rejected as TRL logs them.
    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2];

    /// Whether it reads the reference.
    fn needs_reference(&self) -> bool {
        true
    }

    /// How much of the chosen completions' negative log-likelihood, a token's mean, comes on top.
    fn nll(&self) -> f64 {
        0.0
    }
}

/// Rewards of a loss that has a reference: of summed log-probs, whatever the loss makes of them.
pub(super) fn implicit_rewards<B: Backend>(beta: f64, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
    pairs.ratios(false).map(|ratio| ratio.mul_scalar(beta))
}
