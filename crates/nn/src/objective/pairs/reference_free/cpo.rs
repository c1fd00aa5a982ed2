//! Contrastive preference optimization (CPO, Xu et al., arXiv 2401.08417, equation 5): no reference.

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::Pairwise;
use crate::objective::{PairLogps, Parameters, check, logistic::cross_entropy};

/// `-log sigmoid(beta * (log p_w - log p_l)) + alpha * nll(w)` with summed log-probs in the first term and
/// a token's mean in the second; label smoothing as in DPO.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpo {
    /// Scale of the rewards; above 0.
    pub beta: f64,
    /// What the chosen completions' negative log-likelihood weighs; at least 0.
    pub alpha: f64,
    /// Probability that a pair's labels are swapped, in [0, 0.5).
    pub label_smoothing: f64,
}

/// TRL's.
impl Default for Cpo {
    fn default() -> Self {
        Self {
            beta: 0.1,
            alpha: 1.0,
            label_smoothing: 0.0,
        }
    }
}

impl Pairwise for Cpo {
    fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            beta: Some(&mut self.beta),
            label_smoothing: Some(&mut self.label_smoothing),
            own: Some(("cpo_alpha", &mut self.alpha)),
            ..Parameters::default()
        }
    }

    fn check(&self) -> Result<(), String> {
        check::positive("beta", self.beta)?;
        check::not_negative("cpo_alpha", self.alpha)?;
        check::smoothing(self.label_smoothing)
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let [chosen, rejected] = pairs.policy(false);
        let margin = (chosen - rejected).mul_scalar(self.beta);
        cross_entropy(margin, self.label_smoothing)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        pairs.policy(false).map(|logps| logps.mul_scalar(self.beta))
    }

    fn needs_reference(&self) -> bool {
        false
    }

    fn nll(&self) -> f64 {
        self.alpha
    }
}
