//! Supervised fine-tuning: mean negative log-likelihood of the scored tokens.

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::Loss;

/// `-sum(logps) / tokens`, with `tokens` counted over the whole step, so that accumulated
/// micro-batches give the large batch's gradient whatever their lengths.
///
/// # Shapes
///
/// - `logps`: `[scored]` or `[branches]`
pub fn loss<B: Backend>(logps: Tensor<B, 1>, tokens: usize) -> Loss<B> {
    Loss {
        value: logps.sum().neg().div_scalar(tokens.max(1) as f64),
        sums: Vec::new(),
    }
}
