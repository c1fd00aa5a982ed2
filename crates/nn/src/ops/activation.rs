//! The nonlinearity between a block's two feed-forward projections.

use burn::tensor::{
    Tensor,
    activation::{gelu, gelu_approximate, silu},
    backend::Backend,
};
use serde::{Deserialize, Serialize};

/// The nonlinearity of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `silu(gate) * up` (Shazeer, arXiv 2002.05202).
    SwiGlu,
    /// `x * Phi(x)` (Hendrycks and Gimpel, arXiv 1606.08415).
    Gelu,
    /// GELU by its tanh approximation, as GPT-2 has it.
    GeluTanh,
}

/// The default body of [`Ops::activate`](crate::ops::Ops::activate).
pub fn activate<B: Backend>(x: Tensor<B, 3>, kind: Activation) -> Tensor<B, 3> {
    match kind {
        Activation::SwiGlu => {
            let inner = x.dims()[2] / 2;
            silu(x.clone().narrow(2, 0, inner)).mul(x.narrow(2, inner, inner))
        }
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => gelu_approximate(x),
    }
}
