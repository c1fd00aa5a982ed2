//! Logistic terms that stay exact where they saturate.

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

/// `-(1 - smoothing) log sigmoid(x) - smoothing log sigmoid(-x)`: the cross-entropy of a label that is
/// wrong with probability `smoothing`.
pub fn cross_entropy<B: Backend>(x: Tensor<B, 1>, smoothing: f64) -> Tensor<B, 1> {
    let right = log_sigmoid(x.clone()).mul_scalar(smoothing - 1.0);
    if smoothing == 0.0 {
        return right;
    }
    right - log_sigmoid(x.neg()).mul_scalar(smoothing)
}

/// `1 / (1 + exp(-x))`, whose gradient, unlike `s * (1 - s)`, does not round to 0 for large `x`.
pub fn sigmoid<B: Backend>(x: Tensor<B, 1>) -> Tensor<B, 1> {
    log_sigmoid(x).exp()
}
