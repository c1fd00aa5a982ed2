//! DiscoPOP, the log-ratio modulated loss (Lu et al., arXiv 2406.08414, equation 5).

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::objective::pairs::pairwise::{Pairwise, implicit_rewards};
use crate::objective::{Margin, PairLogps, Parameters, check, logistic::sigmoid};

/// `(1 - g) (-log sigmoid(m)) + g exp(-m)` with the gate `g = sigmoid(m / tau)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiscoPop {
    pub margin: Margin,
    /// How sharply the loss changes from logistic to exponential, in (0, 1].
    pub tau: f64,
}

/// The paper's `tau`.
impl Default for DiscoPop {
    fn default() -> Self {
        Self {
            margin: Margin::default(),
            tau: 0.05,
        }
    }
}

impl Pairwise for DiscoPop {
    fn parameters(&mut self) -> Parameters<'_> {
        Parameters {
            own: Some(("discopop_tau", &mut self.tau)),
            ..self.margin.parameters()
        }
    }

    fn check(&self) -> Result<(), String> {
        self.margin.check()?;
        // Above 1, `g exp(-m)` grows without bound as the margin falls.
        let within = self.tau > 0.0 && self.tau <= 1.0;
        check::holds(within, "discopop_tau", self.tau, "in (0, 1]")
    }

    fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Tensor<B, 1> {
        let margin = self.margin.of(pairs);
        let gate = margin.clone().div_scalar(self.tau);
        // One exponent: the gate is 0 where `exp(-m)` would be infinite.
        let exponential = (log_sigmoid(gate.clone()) - margin.clone()).exp();
        sigmoid(gate.neg()) * log_sigmoid(margin).neg() + exponential
    }

    fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> [Tensor<B, 1>; 2] {
        implicit_rewards(self.margin.reward.beta, pairs)
    }
}
