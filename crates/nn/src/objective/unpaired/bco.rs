//! Binary classifier optimization (BCO, Jung et al., arXiv 2404.04656) on unpaired completions.

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::objective::check;

/// `-log sigmoid(r - d)` of a desirable completion, `-log sigmoid(d - r)` of an undesirable one, with `r`
/// its reward and `d` the running mean of all rewards in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bco {
    /// How strongly the policy is held to the reference; above 0.
    pub beta: f64,
}

/// TRL's.
impl Default for Bco {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl Bco {
    pub(super) fn check(&self) -> Result<(), String> {
        check::positive("beta", self.beta)
    }

    /// The losses of log-ratios whose `sign` is 1 where desirable and -1 where not.
    pub(super) fn losses<B: Backend>(
        &self,
        ratio: Tensor<B, 1>,
        sign: Tensor<B, 1>,
        shift: f64,
    ) -> Tensor<B, 1> {
        let shifted = ratio.mul_scalar(self.beta).sub_scalar(shift);
        log_sigmoid(shifted * sign).neg()
    }
}
