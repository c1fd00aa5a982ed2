//! Direct preference optimization (DPO, Rafailov et al., arXiv 2305.18290, equation 7).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{Margin, PairLogps, Parameters, check, logistic::cross_entropy};

/// `-(1 - s) log sigmoid(m) - s log sigmoid(-m)`: DPO at `s = 0`, conservative DPO (Mitchell, 2023) above.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sigmoid {
    pub margin: Margin,
    /// Probability that a pair's labels are swapped, in [0, 0.5).
    pub label_smoothing: f64,
}

impl Sigmoid {
    /// Of summed log-probs, and reverse KL.
    pub fn new(beta: f64, label_smoothing: f64) -> Self {
        Self {
            margin: Margin::new(beta),
            label_smoothing,
        }
    }
}

impl Pairwise for Sigmoid {
    fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            label_smoothing: Some(&mut self.label_smoothing),
            ..self.margin.parameters()
        }
    }

    fn check(&self) -> Result<(), String> {
        self.margin.check()?;
        check::smoothing(self.label_smoothing)
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        cross_entropy(self.margin.of(pairs), self.label_smoothing)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.margin.reward.beta, pairs)
    }
}
