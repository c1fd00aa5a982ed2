//! Simple preference optimization (SimPO, Meng et al., arXiv 2405.14734, equation 6): no reference.

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::Pairwise;
use crate::objective::{PairLogps, Parameters, check, logistic::cross_entropy};

/// `-log sigmoid(beta * (p_w - p_l) - gamma)` with `p` the mean log-prob of a token; label smoothing as in
/// DPO.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimPo {
    /// Scale of the rewards; above 0.
    pub beta: f64,
    /// The margin of rewards to reach; at least 0.
    pub gamma: f64,
    /// Probability that a pair's labels are swapped, in [0, 0.5).
    pub label_smoothing: f64,
}

/// The authors' `beta` (a mean log-prob is far smaller than a sum), and TRL's `simpo_gamma`.
impl Default for SimPo {
    fn default() -> Self {
        Self {
            beta: 2.0,
            gamma: 0.5,
            label_smoothing: 0.0,
        }
    }
}

impl Pairwise for SimPo {
    fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            beta: Some(&mut self.beta),
            label_smoothing: Some(&mut self.label_smoothing),
            own: Some(("simpo_gamma", &mut self.gamma)),
            ..Parameters::default()
        }
    }

    fn check(&self) -> Result<(), String> {
        check::positive("beta", self.beta)?;
        check::not_negative("simpo_gamma", self.gamma)?;
        check::smoothing(self.label_smoothing)
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let [chosen, rejected] = pairs.policy(true);
        let margin = (chosen - rejected).mul_scalar(self.beta);
        cross_entropy(margin.sub_scalar(self.gamma), self.label_smoothing)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        pairs.policy(true).map(|logps| logps.mul_scalar(self.beta))
    }

    fn needs_reference(&self) -> bool {
        false
    }
}
