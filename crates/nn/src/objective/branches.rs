//! What a batch gives its objective: log-probs of branches, and their log-ratios.

use burn::tensor::{Tensor, backend::Backend};

/// One micro-batch. Tensors are `[examples * branches]`, example by example.
#[derive(Clone, Debug)]
pub struct Branches<B: Backend> {
    /// Summed log-probs under the policy; of a scoring head all its outputs, `[branches * outputs]`.
    pub policy: Tensor<B, 1>,
    /// Summed log-probs under the reference, for objectives that need one.
    pub reference: Option<Tensor<B, 1>>,
    /// Scored tokens of each branch.
    pub lengths: Tensor<B, 1>,
    /// Whether each example's first branch is desirable; empty but for unpaired objectives.
    pub desirable: Vec<bool>,
    /// What a scoring head's outputs are compared with: ratings example by example, NaN where one is missing;
    /// each example's margin or class. Empty for other objectives.
    pub targets: Vec<f32>,
}

impl<B: Backend> Branches<B> {
    /// Log-ratio of policy to reference of branch `index` of each of `examples` examples: `[examples]`.
    pub(super) fn ratio(&self, examples: usize, index: usize) -> Tensor<B, 1> {
        let reference = self.reference.as_ref();
        let reference = reference.expect("reference log-probs, for an objective that reads them");
        column(&self.policy, examples, index) - column(reference, examples, index)
    }
}

/// Branch `index` of each example.
pub(super) fn column<B: Backend>(
    values: &Tensor<B, 1>,
    examples: usize,
    index: usize,
) -> Tensor<B, 1> {
    let branches = values.dims()[0].checked_div(examples).unwrap_or(1);
    let table = values.clone().reshape([examples, branches]);
    table.narrow(1, index, 1).reshape([examples])
}

/// Pairs by side: chosen, then rejected, each `[pairs]`.
#[derive(Clone, Debug)]
pub struct PairLogps<B: Backend> {
    policy: [Tensor<B, 1>; 2],
    reference: Option<[Tensor<B, 1>; 2]>,
    lengths: [Tensor<B, 1>; 2],
}

impl<B: Backend> PairLogps<B> {
    /// Splits `[chosen, rejected, chosen, rejected, ...]` into sides.
    pub fn new(branches: &Branches<B>) -> Self {
        let pairs = branches.policy.dims()[0] / 2;
        let sides = |values: &Tensor<B, 1>| [0, 1].map(|side| column(values, pairs, side));
        Self {
            policy: sides(&branches.policy),
            reference: branches.reference.as_ref().map(sides),
            // An empty completion's average is its sum, 0.
            lengths: sides(&branches.lengths).map(|lengths| lengths.clamp_min(1.0)),
        }
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.policy[0].dims()[0]
    }

    /// The policy's log-probs of both sides, a token's mean where `average`.
    pub fn policy(&self, average: bool) -> [Tensor<B, 1>; 2] {
        self.per_token(self.policy.clone(), average)
    }

    /// The reference's log-probs of both sides.
    ///
    /// # Panics
    ///
    /// Where there are none.
    pub fn reference(&self, average: bool) -> [Tensor<B, 1>; 2] {
        let reference = self.reference.clone();
        let reference = reference.expect("reference log-probs, for a loss that reads them");
        self.per_token(reference, average)
    }

    /// `log(policy / reference)` of both sides.
    ///
    /// # Panics
    ///
    /// Without reference log-probs.
    pub fn ratios(&self, average: bool) -> [Tensor<B, 1>; 2] {
        let [chosen, rejected] = self.policy.clone();
        let [from_chosen, from_rejected] = self.reference(false);
        self.per_token([chosen - from_chosen, rejected - from_rejected], average)
    }

    /// Divides both sides by their lengths where `average`.
    pub fn per_token(&self, sides: [Tensor<B, 1>; 2], average: bool) -> [Tensor<B, 1>; 2] {
        if !average {
            return sides;
        }
        let [chosen, rejected] = sides;
        let [of_chosen, of_rejected] = self.lengths.clone();
        [chosen / of_chosen, rejected / of_rejected]
    }
}
