//! Normalisation over the last axis, in f32 whatever the backend's element.

use burn::tensor::{Tensor, backend::Backend};

/// The default body of [`Ops::norm`](crate::ops::Ops::norm).
pub fn norm<B: Backend>(
    x: Tensor<B, 3>,
    weight: Tensor<B, 1>,
    bias: Option<Tensor<B, 1>>,
    eps: f64,
) -> Tensor<B, 3> {
    match bias {
        Some(bias) => layer_norm(x, weight, bias, eps),
        None => rms_norm(x, weight, eps),
    }
}

/// RMSNorm (Zhang and Sennrich, arXiv 1910.07467): `x / sqrt(mean(x^2) + eps) * weight`.
fn rms_norm<B: Backend>(x: Tensor<B, 3>, weight: Tensor<B, 1>, eps: f64) -> Tensor<B, 3> {
    let scale = x
        .clone()
        .square()
        .mean_dim(2)
        .add_scalar(eps)
        .sqrt()
        .recip();
    x.mul(scale).mul(weight.unsqueeze())
}

/// LayerNorm (Ba et al., arXiv 1607.06450): `(x - mean) / sqrt(var + eps) * weight + bias`.
fn layer_norm<B: Backend>(
    x: Tensor<B, 3>,
    weight: Tensor<B, 1>,
    bias: Tensor<B, 1>,
    eps: f64,
) -> Tensor<B, 3> {
    let centred = x.clone().sub(x.mean_dim(2));
    let scale = centred
        .clone()
        .square()
        .mean_dim(2)
        .add_scalar(eps)
        .sqrt()
        .recip();
    centred
        .mul(scale)
        .mul(weight.unsqueeze())
        .add(bias.unsqueeze())
}
