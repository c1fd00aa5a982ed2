//! Efficient exact optimization on pairs (EXO, Ji et al., arXiv 2402.00856, equation 16).

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{Margin, PairLogps, Parameters, check, logistic::sigmoid};

/// Reverse KL from the policy's preference, `q = sigmoid(m)`, to the label's, `1 - e`:
/// `q log(q / (1 - e)) + (1 - q) log((1 - q) / e)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExoPair {
    pub margin: Margin,
    /// The label's probability of being wrong, in (0, 0.5): 0 would make the loss infinite.
    pub label_smoothing: f64,
}

/// The paper's label smoothing.
impl Default for ExoPair {
    fn default() -> Self {
        Self {
            margin: Margin::default(),
            label_smoothing: 1e-3,
        }
    }
}

impl Pairwise for ExoPair {
    fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            label_smoothing: Some(&mut self.label_smoothing),
            ..self.margin.parameters()
        }
    }

    fn check(&self) -> Result<(), String> {
        self.margin.check()?;
        let within = self.label_smoothing > 0.0 && self.label_smoothing < 0.5;
        check::holds(
            within,
            "label_smoothing",
            self.label_smoothing,
            "in (0, 0.5)",
        )
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let (margin, e) = (self.margin.of(pairs), self.label_smoothing);
        let term = |margin: Tensor<B, 1>, label: f64| {
            sigmoid(margin.clone()) * log_sigmoid(margin).sub_scalar(label.ln())
        };
        term(margin.clone(), 1.0 - e) + term(margin.neg(), e)
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.margin.reward.beta, pairs)
    }
}
