//! The hot operations. [`Ops`] gives each a default body of Burn primitives, so that every backend
//! works; a backend with kernels of its own overrides it, forward and backward.

mod activation;
mod attention;
mod cache;
#[cfg(feature = "flex")]
mod flex;
mod logps;
mod norm;
mod rotary;

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor};

pub use attention::TreeView;
pub use cache::{CacheView, KvCache, LayerCache};
pub use logps::branch_sums;
pub use rotary::Angles;

/// A tensor whose operations are recorded for backward over `B`.
type Tracked<B, C, const D: usize> = Tensor<Autodiff<B, C>, D>;

/// A backend with this crate's operations.
///
/// Each operation is a pair: the plain one, and one on tracked tensors, which a backend with a
/// hand-written backward overrides as well. Autodiff's plain one is the tracked one beneath it.
pub trait Ops: Backend {
    /// Attention over prefix trees, fused with rotary positions.
    ///
    /// # Shapes
    ///
    /// - `qkv`: `[rows, width, (heads + 2 * kv_heads) * head_dim]`
    /// - output: `[rows, width, heads * head_dim]`
    fn tree_attention(qkv: Tensor<Self, 3>, view: &Arc<TreeView>) -> Tensor<Self, 3> {
        attention::tree_attention(qkv, view)
    }

    /// [`tree_attention`](Self::tree_attention) with a gradient.
    fn tracked_tree_attention<C: CheckpointStrategy>(
        qkv: Tracked<Self, C, 3>,
        view: &Arc<TreeView>,
    ) -> Tracked<Self, C, 3> {
        attention::tree_attention(qkv, view)
    }

    /// Zeros for one side of one layer's cache.
    fn cache_zeros(shape: [usize; 3], dtype: DType, device: &Self::Device) -> Tensor<Self, 3> {
        Tensor::zeros(shape, (device, dtype))
    }

    /// Writes the keys, turned by their positions, and the values of new tokens into the cache of
    /// one layer, in place where nothing else holds it.
    ///
    /// # Shapes
    ///
    /// - `qkv`: `[1, tokens, (heads + 2 * kv_heads) * head_dim]`
    fn cache_write(
        layer: LayerCache<Self>,
        qkv: Tensor<Self, 3>,
        view: &CacheView<'_>,
    ) -> LayerCache<Self> {
        cache::write(layer, qkv, view)
    }

    /// Attention of one query a sequence over that sequence's cached tokens, which include the
    /// query's own.
    ///
    /// # Shapes
    ///
    /// - `qkv`: `[1, tokens, (heads + 2 * kv_heads) * head_dim]`
    /// - output: `[1, tokens, heads * head_dim]`
    fn cache_attention(
        layer: &LayerCache<Self>,
        qkv: Tensor<Self, 3>,
        view: &CacheView<'_>,
    ) -> Tensor<Self, 3> {
        cache::attention(layer, qkv, view)
    }

    /// Logits on the host, `hidden @ head^T`, in place of what `into` held.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[tokens, hidden]`, `head`: `[vocabulary, hidden]`
    /// - `into`: `[tokens, vocabulary]`
    fn logits(hidden: Tensor<Self, 2>, head: Tensor<Self, 2>, into: &mut Vec<f32>) {
        logps::logits(hidden, head, into);
    }

    /// Log-probability of each target under `softmax(hidden @ head^T)`.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[scored, hidden]`, `head`: `[vocabulary, hidden]`, `targets`: `[scored]`
    /// - output: `[scored]`
    fn token_logps(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        targets: &[u32],
    ) -> Tensor<Self, 1> {
        logps::token_logps(hidden, head, targets)
    }

    /// [`token_logps`](Self::token_logps) with a gradient.
    fn tracked_token_logps<C: CheckpointStrategy>(
        hidden: Tracked<Self, C, 2>,
        head: Tracked<Self, C, 2>,
        targets: &[u32],
    ) -> Tracked<Self, C, 1> {
        logps::token_logps(hidden, head, targets)
    }

    /// LayerNorm where there is a bias, else RMSNorm, over the last axis.
    ///
    /// # Shapes
    ///
    /// - `x`: `[rows, width, hidden]`, `weight` and `bias`: `[hidden]`; output as `x`
    fn norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        bias: Option<Tensor<Self, 1>>,
        eps: f64,
    ) -> Tensor<Self, 3> {
        norm::norm(x, weight, bias, eps)
    }

    /// [`norm`](Self::norm) with a gradient.
    fn tracked_norm<C: CheckpointStrategy>(
        x: Tracked<Self, C, 3>,
        weight: Tracked<Self, C, 1>,
        bias: Option<Tracked<Self, C, 1>>,
        eps: f64,
    ) -> Tracked<Self, C, 3> {
        norm::norm(x, weight, bias, eps)
    }

    /// SwiGLU (Shazeer, arXiv 2002.05202): `silu(gate) * up`.
    ///
    /// # Shapes
    ///
    /// - `x`: `[rows, width, 2 * inner]`, gate and up side by side; output: `[rows, width, inner]`
    fn swiglu(x: Tensor<Self, 3>) -> Tensor<Self, 3> {
        activation::swiglu(x)
    }

    /// [`swiglu`](Self::swiglu) with a gradient.
    fn tracked_swiglu<C: CheckpointStrategy>(x: Tracked<Self, C, 3>) -> Tracked<Self, C, 3> {
        activation::swiglu(x)
    }
}

impl<B: Ops, C: CheckpointStrategy> Ops for Autodiff<B, C> {
    fn tree_attention(qkv: Tensor<Self, 3>, view: &Arc<TreeView>) -> Tensor<Self, 3> {
        B::tracked_tree_attention(qkv, view)
    }

    fn token_logps(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        targets: &[u32],
    ) -> Tensor<Self, 1> {
        B::tracked_token_logps(hidden, head, targets)
    }

    fn norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        bias: Option<Tensor<Self, 1>>,
        eps: f64,
    ) -> Tensor<Self, 3> {
        B::tracked_norm(x, weight, bias, eps)
    }

    fn swiglu(x: Tensor<Self, 3>) -> Tensor<Self, 3> {
        B::tracked_swiglu(x)
    }
}

/// A backend that models are trained on.
pub trait TrainBackend: AutodiffBackend<InnerBackend: Ops> + Ops {}

impl<B: AutodiffBackend<InnerBackend: Ops> + Ops> TrainBackend for B {}
