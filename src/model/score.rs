//! Log-probabilities of a forest's scored tokens under a decoder.

use burn::tensor::Tensor;

use crate::model::decoder::{Decoder, int_tensor};
use crate::model::forest::Forest;
use crate::ops::{Ops, branch_sums};

impl<B: Ops> Decoder<B> {
    /// Log-probability of each scored token, in the forest's order: `[scored]`.
    pub fn token_logps(&self, forest: &Forest, device: &B::Device) -> Tensor<B, 1> {
        let hidden = self
            .forest_hidden(
                &forest.tokens,
                &forest.position,
                &forest.end,
                forest.rows,
                device,
            )
            .reshape([forest.tokens.len(), self.config.hidden_size]);
        let parents = forest.scored.iter().map(|s| s.parent as i32).collect();
        let targets: Vec<u32> = forest.scored.iter().map(|s| s.token).collect();
        let hidden = hidden.select(0, int_tensor(parents, device));
        B::token_logps(hidden, self.head(), &targets)
    }

    /// Summed log-probability of each branch: `[branches]`.
    pub fn branch_logps(&self, forest: &Forest, device: &B::Device) -> Tensor<B, 1> {
        let branch = forest.scored.iter().map(|s| s.branch as i32).collect();
        branch_sums(
            self.token_logps(forest, device),
            int_tensor(branch, device),
            forest.branches,
        )
    }
}
