//! Alignment by optimal transport on pairs (AOT, Melnyk et al., arXiv 2406.05882).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{PairLogps, Parameters, Reward, check, logistic::cross_entropy};

/// The policy's log-ratios of chosen to rejected and the reference's are each sorted within the
/// micro-batch; DPO's loss, with label smoothing, of quantile against quantile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Aot {
    pub reward: Reward,
    /// Probability that a pair's labels are swapped, in [0, 0.5).
    pub label_smoothing: f64,
}

impl Pairwise for Aot {
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
        let average = self.reward.length_average;
        let policy = sorted(difference(pairs.policy(average)));
        let reference = sorted(difference(pairs.reference(average)));
        let margin = (policy - reference).mul_scalar(self.reward.beta);
        cross_entropy(margin, self.label_smoothing)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.reward.beta, pairs)
    }
}

fn difference<B: Backend>([chosen, rejected]: [Tensor<B, 1>; 2]) -> Tensor<B, 1> {
    chosen - rejected
}

/// In ascending order, with a gradient.
pub(super) fn sorted<B: Backend>(values: Tensor<B, 1>) -> Tensor<B, 1> {
    let order = values.clone().detach().argsort(0);
    values.select(0, order)
}
