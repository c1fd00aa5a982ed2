//! Hinge loss on the margin (SLiC-HF, Zhao et al., arXiv 2305.10425; RSO, Liu et al., arXiv 2309.06657).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{Margin, PairLogps, Parameters};

/// `max(0, 1 - m)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hinge {
    pub margin: Margin,
}

impl Pairwise for Hinge {
    fn parameters(&mut self) -> Parameters<'_> {
        self.margin.parameters()
    }

    fn check(&self) -> Result<(), String> {
        self.margin.check()
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        self.margin.of(pairs).neg().add_scalar(1.0).clamp_min(0.0)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.margin.reward.beta, pairs)
    }
}
