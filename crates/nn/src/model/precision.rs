//! What a model is computed in.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor};

/// What matrix products, and what lies between them inside a block, are computed in. Parameters,
/// their gradients, the residual stream, norms and log-probs stay f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    F32,
    Bf16,
}

impl Precision {
    /// A matrix product's input.
    pub fn lower<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        match self {
            // What is not trained may be held in bf16.
            Precision::F32 if x.dtype() == DType::BF16 => x.cast(FloatDType::F32),
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::BF16),
        }
    }

    /// What the keys and values of generation are kept in, where weights are in `stored`.
    pub fn cached(self, stored: DType) -> DType {
        match self {
            Precision::F32 => stored,
            Precision::Bf16 => DType::BF16,
        }
    }

    /// What returns to the residual stream.
    pub(super) fn raise<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        match self {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::F32),
        }
    }
}
