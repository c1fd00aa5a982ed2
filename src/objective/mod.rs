//! Objectives: pure functions from log-probs to a loss. Nothing here knows of models or text.

pub mod dpo;
pub mod sft;

use burn::tensor::{Tensor, backend::Backend};

/// A loss to minimise, and what is worth logging about it.
pub struct Loss<B: Backend> {
    /// Scalar, `[1]`, already divided by the whole step's normaliser.
    pub value: Tensor<B, 1>,
    /// Names as TRL logs them, each the *sum* over this batch's pairs, `[1]`.
    pub sums: Vec<(&'static str, Tensor<B, 1>)>,
}

/// Which objective a stage trains with, and its own parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// One scored branch an example.
    Sft,
    /// Two branches an example: chosen, then rejected.
    Dpo(dpo::Dpo),
}

impl Objective {
    /// Branches that one example has.
    pub fn branches(&self) -> usize {
        match self {
            Objective::Sft => 1,
            Objective::Dpo(_) => 2,
        }
    }

    /// What an example adds to the step's normaliser: its scored tokens, or one pair.
    pub fn weight(&self, scored_tokens: usize) -> usize {
        match self {
            Objective::Sft => scored_tokens,
            Objective::Dpo(_) => 1,
        }
    }

    /// The loss of a batch.
    ///
    /// # Shapes
    ///
    /// - `policy`, `reference`: `[examples * branches]`, example by example; summed log-probs
    /// - `normaliser`: the sum of [`weight`](Self::weight) over the whole step
    pub fn loss<B: Backend>(
        &self,
        policy: Tensor<B, 1>,
        reference: Option<Tensor<B, 1>>,
        normaliser: usize,
    ) -> Loss<B> {
        match self {
            Objective::Sft => sft::loss(policy, normaliser),
            Objective::Dpo(dpo) => {
                let reference = reference.expect("DPO is given reference log-probs");
                let [policy_chosen, policy_rejected] = sides(policy);
                let [reference_chosen, reference_rejected] = sides(reference);
                dpo.loss(
                    dpo::PairLogps {
                        policy_chosen,
                        policy_rejected,
                        reference_chosen,
                        reference_rejected,
                    },
                    normaliser,
                )
            }
        }
    }
}

/// Splits `[chosen, rejected, chosen, rejected, ...]` into its two sides.
fn sides<B: Backend>(logps: Tensor<B, 1>) -> [Tensor<B, 1>; 2] {
    let pairs = logps.dims()[0] / 2;
    let table = logps.reshape([pairs, 2]);
    [0, 1].map(|side| table.clone().narrow(1, side, 1).reshape([pairs]))
}
