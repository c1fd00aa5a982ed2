//! Supervised fine-tuning: mean negative log-likelihood of the scored tokens.

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::Normaliser;

/// `-sum(logps) / tokens`, with `tokens` counted over the whole step, so that accumulated
/// micro-batches give the large batch's gradient whatever their lengths.
///
/// # Shapes
///
/// - `logps`: `[scored]` or `[branches]`
pub fn nll<B: Backend>(logps: Tensor<B, 1>, normaliser: &Normaliser) -> Tensor<B, 1> {
    logps
        .sum()
        .neg()
        .div_scalar(normaliser.tokens.max(1) as f64)
}
