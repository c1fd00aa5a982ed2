//! What a decoder says of a forest's branches: log-probabilities, or the scores of its scoring head.

use burn::tensor::{Tensor, TensorData};

use crate::model::decoder::{Decoder, int_tensor};
use crate::model::forest::Forest;
use crate::ops::{Ops, branch_sums};

impl<B: Ops> Decoder<B> {
    /// Log-probability of each scored token, in the forest's order: `[scored]`.
    pub fn token_logps(&self, forest: &Forest) -> Tensor<B, 1> {
        self.scored_logps(self.scored_hidden(forest), forest, 1.0)
    }

    /// [`token_logps`](Self::token_logps) from the final hidden states, `[scored, hidden]`, which were divided by a
    /// sampling temperature.
    pub fn scored_logps(
        &self,
        hidden: Tensor<B, 2>,
        forest: &Forest,
        temperature: f64,
    ) -> Tensor<B, 1> {
        let targets: Vec<u32> = forest.scored.iter().map(|s| s.token).collect();
        self.target_logps(hidden, &targets, temperature)
    }

    /// Summed log-probability of each branch, its tokens weighed as the forest says: `[branches]`.
    pub fn branch_logps(&self, forest: &Forest) -> Tensor<B, 1> {
        branch_logps(self.token_logps(forest), forest)
    }

    /// Numbers that [`branch_values`](Self::branch_values) gives of each branch.
    pub fn values_per_branch(&self) -> usize {
        let score = self.config.score.as_ref();
        score.map_or(1, |score| score.labels.len())
    }

    /// What the model says of each branch: its [log-probability](Self::branch_logps), `[branches]`; or the
    /// outputs of its scoring head, branch by branch, `[branches * scores]`. A branch scores one token then,
    /// of which the parent is read: the last real one.
    pub fn branch_values(&self, forest: &Forest) -> Tensor<B, 1> {
        if forest.scored.is_empty() {
            let size = forest.branches * self.values_per_branch();
            return Tensor::zeros([size], &self.embed.val().device());
        }
        self.values(self.scored_hidden(forest), forest)
    }

    /// [`branch_values`](Self::branch_values) from the final hidden states, `[scored, hidden]`.
    pub fn values(&self, hidden: Tensor<B, 2>, forest: &Forest) -> Tensor<B, 1> {
        if self.config.score.is_none() {
            return branch_logps(self.scored_logps(hidden, forest, 1.0), forest);
        }
        assert_eq!(
            forest.scored.len(),
            forest.branches,
            "a scoring head reads one token a branch"
        );
        hidden.matmul(self.head().transpose()).flatten(0, 1)
    }
}

/// Sums the log-probs of a forest's scored tokens, weighed as it says, by branch: `[branches]`.
pub fn branch_logps<B: Ops>(logps: Tensor<B, 1>, forest: &Forest) -> Tensor<B, 1> {
    let branch = forest.scored.iter().map(|s| s.branch as i32).collect();
    let branch = int_tensor(branch, &logps.device());
    let logps = match &forest.weights {
        Some(weights) => {
            let weights = TensorData::new(weights.clone(), [weights.len()]);
            logps.clone() * Tensor::from_data(weights, &logps.device())
        }
        None => logps,
    };
    branch_sums(logps, branch, forest.branches)
}
