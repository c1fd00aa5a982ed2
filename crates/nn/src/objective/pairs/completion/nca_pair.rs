//! Noise contrastive alignment on pairs (NCA, Chen et al., arXiv 2402.05369, with two completions).

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{PairLogps, Parameters, Reward};

/// `-log sigmoid(r_w) - (log sigmoid(-r_w) + log sigmoid(-r_l)) / 2`: keeps the chosen completion's reward
/// from falling.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NcaPair {
    pub reward: Reward,
}

impl Pairwise for NcaPair {
    fn parameters(&mut self) -> Parameters<'_> {
        self.reward.parameters()
    }

    fn check(&self) -> Result<(), String> {
        self.reward.check()
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let [chosen, rejected] = self.reward.of(pairs);
        let noise = log_sigmoid(chosen.clone().neg()) + log_sigmoid(rejected.neg());
        (log_sigmoid(chosen) + noise.mul_scalar(0.5)).neg()
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.reward.beta, pairs)
    }
}
