//! Anchored preference optimization, down (APO, D'Oosterlinck et al., arXiv 2408.06266, equation 8).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{PairLogps, Parameters, Reward, logistic::sigmoid};

/// `sigmoid(r_w) + 1 - sigmoid(r_w - r_l)`: both completions become less likely, the rejected one by more.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ApoDown {
    pub reward: Reward,
}

impl Pairwise for ApoDown {
    fn parameters(&mut self) -> Parameters<'_> {
        self.reward.parameters()
    }

    fn check(&self) -> Result<(), String> {
        self.reward.check()
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let [chosen, rejected] = self.reward.ratios(pairs);
        let scaled = |ratio: Tensor<B, 1>| ratio.mul_scalar(self.reward.beta);
        sigmoid(scaled(chosen.clone())) + sigmoid(scaled(rejected - chosen))
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.reward.beta, pairs)
    }
}
