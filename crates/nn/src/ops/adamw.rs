//! AdamW with decoupled decay (Loshchilov and Hutter, arXiv 1711.05101), clipping included.

use burn::tensor::{Tensor, backend::Backend};

/// One step's constants, bias corrections worked in.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Gradients are multiplied by this: 1, or less where their global norm is clipped.
    pub clip: f64,
    /// Parameters keep this share of themselves: `1 - learning_rate * weight_decay`.
    pub keep: f64,
    /// `learning_rate / (1 - beta1^t)`
    pub rate: f64,
    /// `sqrt(1 - beta2^t)`
    pub second_scale: f64,
}

/// A parameter, flattened, with its moments.
pub struct Moved<B: Backend> {
    pub value: Tensor<B, 1>,
    pub first: Tensor<B, 1>,
    pub second: Tensor<B, 1>,
}

/// The default body of [`Ops::adamw`](crate::ops::Ops::adamw).
pub fn adamw<B: Backend>(moved: Moved<B>, gradient: Tensor<B, 1>, step: &AdamWStep) -> Moved<B> {
    let gradient = gradient.mul_scalar(step.clip);
    let second = moved.second.mul_scalar(step.beta2)
        + gradient.clone().square().mul_scalar(1.0 - step.beta2);
    let first = moved.first.mul_scalar(step.beta1) + gradient.mul_scalar(1.0 - step.beta1);
    let denominator = second
        .clone()
        .sqrt()
        .div_scalar(step.second_scale)
        .add_scalar(step.epsilon);
    let change = first.clone().div(denominator).mul_scalar(step.rate);
    Moved {
        value: moved.value.mul_scalar(step.keep) - change,
        first,
        second,
    }
}
