//! Anchored preference optimization, zero (APO, D'Oosterlinck et al., arXiv 2408.06266, equation 7).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{PairLogps, Parameters, Reward, logistic::sigmoid};

/// `1 - sigmoid(r_w) + sigmoid(r_l)`: chosen completions become likelier, rejected ones less likely.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ApoZero {
    pub reward: Reward,
}

impl Pairwise for ApoZero {
    fn parameters(&mut self) -> Parameters<'_> {
        self.reward.parameters()
    }

    fn check(&self) -> Result<(), String> {
        self.reward.check()
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let [chosen, rejected] = self.reward.of(pairs);
        sigmoid(chosen.neg()) + sigmoid(rejected)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.reward.beta, pairs)
    }
}
