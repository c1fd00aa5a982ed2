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
    /// `gelu(gate) * up`.
    GeGlu,
    /// The same by GELU's tanh approximation.
    GeGluTanh,
    /// `x * Phi(x)` (Hendrycks and Gimpel, arXiv 1606.08415).
    Gelu,
    /// GELU by its tanh approximation, as GPT-2 has it.
    GeluTanh,
}

impl Activation {
    /// Whether it reads two halves, gate and up.
    pub fn gated(self) -> bool {
        match self {
            Activation::SwiGlu | Activation::GeGlu | Activation::GeGluTanh => true,
            Activation::Gelu | Activation::GeluTanh => false,
        }
    }
}

/// The default body of [`Ops::activate`](crate::ops::Ops::activate).
pub fn activate<B: Backend>(x: Tensor<B, 3>, kind: Activation) -> Tensor<B, 3> {
    if kind.gated() {
        let inner = x.dims()[2] / 2;
        let gate = x.clone().narrow(2, 0, inner);
        return curve(gate, kind).mul(x.narrow(2, inner, inner));
    }
    curve(x, kind)
}

/// What is done to a gate, or to all.
fn curve<B: Backend>(x: Tensor<B, 3>, kind: Activation) -> Tensor<B, 3> {
    match kind {
        Activation::SwiGlu => silu(x),
        Activation::Gelu | Activation::GeGlu => gelu(x),
        Activation::GeluTanh | Activation::GeGluTanh => gelu_approximate(x),
    }
}
