//! Normalisation over the last axis, in f32 whatever the backend's element.

use burn::tensor::{Tensor, backend::Backend};

/// RMSNorm (Zhang and Sennrich, arXiv 1910.07467): `x / sqrt(mean(x^2) + eps) * weight`.
///
/// # Shapes
///
/// - `x`: `[rows, width, hidden]`, `weight`: `[hidden]`; output as `x`
pub fn rms_norm<B: Backend>(x: Tensor<B, 3>, weight: Tensor<B, 1>, eps: f64) -> Tensor<B, 3> {
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
///
/// # Shapes
///
/// - `x`: `[rows, width, hidden]`, `weight` and `bias`: `[hidden]`; output as `x`
pub fn layer_norm<B: Backend>(
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
