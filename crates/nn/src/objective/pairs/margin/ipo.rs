//! Identity preference optimization (Azar et al., arXiv 2310.12036, equation 17).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{Margin, PairLogps, Parameters};

/// `(m - 1 / (2 tau))^2` with `m` the margin without `beta`, which stands for the paper's `tau`. Averaged
/// log-ratios (`length_average`) are what the authors say their results used; their equation sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ipo {
    pub margin: Margin,
}

/// Averaged, as the authors' results are; `beta` is TRL's.
impl Default for Ipo {
    fn default() -> Self {
        let mut margin = Margin::default();
        margin.reward.length_average = true;
        Self { margin }
    }
}

impl Pairwise for Ipo {
    fn parameters(&mut self) -> Parameters<'_> {
        self.margin.parameters()
    }

    fn check(&self) -> Result<(), String> {
        self.margin.check()
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let target = 0.5 / self.margin.reward.beta;
        self.margin.unscaled(pairs).sub_scalar(target).square()
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.margin.reward.beta, pairs)
    }
}
