//! Binary classifier optimization on pairs (BCO, Jung et al., arXiv 2404.04656), without a reward shift.

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{PairLogps, Parameters, Reward};

/// `-log sigmoid(r_w) - log sigmoid(-r_l)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BcoPair {
    pub reward: Reward,
}

impl Pairwise for BcoPair {
    fn parameters(&mut self) -> Parameters<'_> {
        self.reward.parameters()
    }

    fn check(&self) -> Result<(), String> {
        self.reward.check()
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let [chosen, rejected] = self.reward.of(pairs);
        (log_sigmoid(chosen) + log_sigmoid(rejected.neg())).neg()
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.reward.beta, pairs)
    }
}
