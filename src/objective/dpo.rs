//! Direct Preference Optimization (Rafailov et al., arXiv 2305.18290, equation 7).

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::objective::Loss;

/// Summed log-probs of each pair's two completions, all `[pairs]`.
#[derive(Clone, Debug)]
pub struct PairLogps<B: Backend> {
    pub policy_chosen: Tensor<B, 1>,
    pub policy_rejected: Tensor<B, 1>,
    pub reference_chosen: Tensor<B, 1>,
    pub reference_rejected: Tensor<B, 1>,
}

/// What DPO can be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dpo {
    /// How strongly the policy is held to the reference.
    pub beta: f64,
    /// Probability that a pair's labels are swapped (conservative DPO, Mitchell 2023); 0 is plain DPO.
    pub label_smoothing: f64,
}

impl Dpo {
    /// `-(1 - s) log sigmoid(h) - s log sigmoid(-h)` with `h = beta * (log-ratio of the chosen minus
    /// log-ratio of the rejected)`, summed over the pairs and divided by `pairs`, the number of pairs
    /// in the whole step.
    pub fn loss<B: Backend>(&self, logps: PairLogps<B>, pairs: usize) -> Loss<B> {
        let PairLogps {
            policy_chosen,
            policy_rejected,
            reference_chosen,
            reference_rejected,
        } = logps;
        let chosen = (policy_chosen.clone() - reference_chosen).mul_scalar(self.beta);
        let rejected = (policy_rejected.clone() - reference_rejected).mul_scalar(self.beta);
        let margins = chosen.clone() - rejected.clone();
        let mut losses = log_sigmoid(margins.clone())
            .neg()
            .mul_scalar(1.0 - self.label_smoothing);
        if self.label_smoothing > 0.0 {
            losses = losses - log_sigmoid(margins.clone().neg()).mul_scalar(self.label_smoothing);
        }
        let accuracies = margins.clone().detach().greater_elem(0.0).float();
        Loss {
            value: losses.sum().div_scalar(pairs.max(1) as f64),
            sums: [
                ("rewards/chosen", chosen),
                ("rewards/rejected", rejected),
                ("rewards/margins", margins),
                ("rewards/accuracies", accuracies),
                ("logps/chosen", policy_chosen),
                ("logps/rejected", policy_rejected),
            ]
            .into_iter()
            .map(|(name, values)| (name, values.detach().sum()))
            .collect(),
        }
    }
}
