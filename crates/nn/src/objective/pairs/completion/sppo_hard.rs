//! Self-play preference optimization with hard labels (SPPO, Wu et al., arXiv 2405.00675, equation 4.7).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{PairLogps, Parameters, Reward};

/// `(a_w - 1 / (2 beta))^2 + (a_l + 1 / (2 beta))^2` with log-ratios `a`: the paper's win
/// probabilities are 1 and 0, and its `eta` is `1 / beta`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SppoHard {
    pub reward: Reward,
}

impl Pairwise for SppoHard {
    fn parameters(&mut self) -> Parameters<'_> {
        self.reward.parameters()
    }

    fn check(&self) -> Result<(), String> {
        self.reward.check()
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let target = 0.5 / self.reward.beta;
        let [chosen, rejected] = self.reward.ratios(pairs);
        chosen.sub_scalar(target).square() + rejected.add_scalar(target).square()
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.reward.beta, pairs)
    }
}
