//! The gate between a block's two feed-forward projections.

use burn::tensor::{Tensor, activation::silu, backend::Backend};

/// The default body of [`Ops::swiglu`](crate::ops::Ops::swiglu).
pub(super) fn swiglu<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 3> {
    let inner = x.dims()[2] / 2;
    silu(x.clone().narrow(2, 0, inner)).mul(x.narrow(2, inner, inner))
}
