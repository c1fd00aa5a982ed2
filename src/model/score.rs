//! Log-probabilities of a forest's scored tokens under a decoder.

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::data::forest::Forest;
use crate::model::decoder::{Decoder, int_tensor};
use crate::ops::{branch_sums, token_logps, visibility_bias};

impl<B: Backend> Decoder<B> {
    /// Log-probability of each scored token, in the forest's order: `[scored]`.
    pub fn token_logps(&self, forest: &Forest, device: &B::Device) -> Tensor<B, 1> {
        let (rows, width) = (forest.rows, forest.width);
        let ids: Vec<i32> = forest.tokens.iter().map(|&t| t as i32).collect();
        let tokens = Tensor::from_data(TensorData::new(ids, [rows, width]), device);
        let bias = visibility_bias(
            &forest.visible(self.config.sliding_window),
            [rows, width, width],
            device,
        );
        let hidden = self
            .hidden(tokens, &forest.position, bias, None)
            .reshape([rows * width, self.config.hidden_size]);
        let parents = forest.scored.iter().map(|s| s.parent as i32).collect();
        let targets = forest.scored.iter().map(|s| s.token as i32).collect();
        token_logps(
            hidden.select(0, int_tensor(parents, device)),
            self.head(),
            int_tensor(targets, device),
        )
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
