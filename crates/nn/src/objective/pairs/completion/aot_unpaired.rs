//! Alignment by optimal transport across pairs (AOT unpaired, Melnyk et al., arXiv 2406.05882).

use burn::tensor::{Tensor, backend::Backend};

use super::aot::sorted;
use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{PairLogps, Parameters, Reward, check, logistic::cross_entropy};

/// The log-ratios, policy to reference, of chosen completions and those of rejected ones are each sorted
/// within the micro-batch; DPO's loss, with label smoothing, of quantile against quantile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AotUnpaired {
    pub reward: Reward,
    /// Probability that a pair's labels are swapped, in [0, 0.5).
    pub label_smoothing: f64,
}

impl Pairwise for AotUnpaired {
    fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            label_smoothing: Some(&mut self.label_smoothing),
            ..self.reward.parameters()
        }
    }

    fn check(&self) -> Result<(), String> {
        self.reward.check()?;
        check::smoothing(self.label_smoothing)
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let [chosen, rejected] = self.reward.ratios(pairs).map(sorted);
        let margin = (chosen - rejected).mul_scalar(self.reward.beta);
        cross_entropy(margin, self.label_smoothing)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.reward.beta, pairs)
    }
}
