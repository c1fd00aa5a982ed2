//! The hot operations. [`Ops`] gives each a default body of Burn primitives, so that every backend
//! works; a backend with kernels of its own overrides it, forward and backward.

mod activation;
mod adamw;
mod attention;
mod cache;
mod embed;
mod entropy;
#[cfg(feature = "flex")]
mod flex;
mod kv_cache;
mod logps;
mod lora;
mod norm;
mod record;
mod rotary;

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor};

pub use activation::Activation;
pub use adamw::{AdamWStep, Moved};
pub use attention::TreeView;
pub use cache::{CacheView, LayerCache};
pub use kv_cache::KvCache;
pub use logps::{DEFAULT_LOGITS_CHUNK, branch_sums};
pub use lora::{Dropout, Fixed, LowRank, Packed, Packing, lengths};
pub use rotary::Angles;

use record::Tracked;

/// The default bodies by themselves: what `benches/kernels.rs` measures kernels against.
#[doc(hidden)]
pub mod defaults {
    pub use super::activation::activate;
    pub use super::adamw::adamw;
    pub use super::attention::tree_attention;
    pub use super::cache::attention as cache_attention;
    pub use super::embed::embed;
    pub use super::logps::{all_logits, token_logps, tracked_token_logps};
    pub use super::norm::norm;
}

/// A backend with this crate's operations.
///
/// Each operation is a pair: the plain one, and one on tracked tensors, which a backend with a
/// hand-written backward overrides as well. Autodiff's plain one is the tracked one beneath it.
pub trait Ops: Backend {
    /// Logits that [`token_logps`](Self::token_logps) holds at a time.
    const LOGITS_CHUNK: usize = DEFAULT_LOGITS_CHUNK;

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

    /// A linear map.
    ///
    /// # Shapes
    ///
    /// - `x`: `[tokens, in]`, `weight`: `[in, out]`; output: `[tokens, out]`
    fn project(x: Tensor<Self, 2>, weight: Tensor<Self, 2>) -> Tensor<Self, 2> {
        x.matmul(weight)
    }

    /// [`project`](Self::project) with a gradient.
    fn tracked_project<C: CheckpointStrategy>(
        x: Tracked<Self, C, 2>,
        weight: Tracked<Self, C, 2>,
    ) -> Tracked<Self, C, 2> {
        x.matmul(weight)
    }

    /// [`project`](Self::project) by a weight that is not trained, and what adapters add to it.
    fn adapted(
        x: Tensor<Self, 2>,
        weight: &Fixed<Self>,
        adapters: Vec<LowRank<Self>>,
    ) -> Tensor<Self, 2> {
        lora::adapted(x, weight, &adapters, Self::project)
    }

    /// [`adapted`](Self::adapted) with a gradient of its input and of the adapters.
    fn tracked_adapted<C: CheckpointStrategy>(
        x: Tracked<Self, C, 2>,
        weight: &Fixed<Autodiff<Self, C>>,
        adapters: Vec<LowRank<Autodiff<Self, C>>>,
    ) -> Tracked<Self, C, 2> {
        lora::adapted(x, weight, &adapters, Self::tracked_project)
    }

    /// Logits on the host, `hidden @ head^T`, in place of what `into` held; with a cap, `cap * tanh(logit / cap)`.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[tokens, hidden]`, `head`: `[vocabulary, hidden]`
    /// - `into`: `[tokens, vocabulary]`
    fn logits(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        cap: Option<f32>,
        into: &mut Vec<f32>,
    ) {
        logps::all_logits(hidden, head, cap, into);
    }

    /// Log-probability of each target under the softmax of `hidden @ head^T`, capped as [`logits`](Self::logits) are.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[scored, hidden]`, `head`: `[vocabulary, hidden]`, `targets`: `[scored]`
    /// - output: `[scored]`
    fn token_logps(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        targets: &[u32],
        cap: Option<f32>,
    ) -> Tensor<Self, 1> {
        logps::token_logps(hidden, head, targets, cap)
    }

    /// [`token_logps`](Self::token_logps) with a gradient.
    fn tracked_token_logps<C: CheckpointStrategy>(
        hidden: Tracked<Self, C, 2>,
        head: Tracked<Self, C, 2>,
        targets: &[u32],
        cap: Option<f32>,
    ) -> Tracked<Self, C, 1> {
        logps::tracked_token_logps(hidden, head, targets, cap)
    }

    /// Entropy of the softmax of `hidden @ head^T`, capped as [`logits`](Self::logits) are, in nats.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[scored, hidden]`, `head`: `[vocabulary, hidden]`; output: `[scored]`
    fn entropy(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        cap: Option<f32>,
    ) -> Tensor<Self, 1> {
        entropy::entropy(hidden, head, cap)
    }

    /// [`entropy`](Self::entropy) with a gradient.
    fn tracked_entropy<C: CheckpointStrategy>(
        hidden: Tracked<Self, C, 2>,
        head: Tracked<Self, C, 2>,
        cap: Option<f32>,
    ) -> Tracked<Self, C, 1> {
        entropy::tracked_entropy(hidden, head, cap)
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

    /// The nonlinearity of a feed-forward layer.
    ///
    /// # Shapes
    ///
    /// - `x`: `[rows, width, inner]`, or for a gated one `[rows, width, 2 * inner]` with gate and up
    ///   side by side; output: `[rows, width, inner]`
    fn activate(x: Tensor<Self, 3>, kind: Activation) -> Tensor<Self, 3> {
        activation::activate(x, kind)
    }

    /// [`activate`](Self::activate) with a gradient.
    fn tracked_activate<C: CheckpointStrategy>(
        x: Tracked<Self, C, 3>,
        kind: Activation,
    ) -> Tracked<Self, C, 3> {
        activation::activate(x, kind)
    }

    /// Rows of `table` by index; an index may repeat.
    ///
    /// # Shapes
    ///
    /// - `table`: `[rows, size]`, `ids`: `[count]`; output: `[count, size]`
    fn embed(table: Tensor<Self, 2>, ids: &[u32]) -> Tensor<Self, 2> {
        embed::embed(table, ids)
    }

    /// [`embed`](Self::embed) with a gradient.
    fn tracked_embed<C: CheckpointStrategy>(
        table: Tracked<Self, C, 2>,
        ids: &[u32],
    ) -> Tracked<Self, C, 2> {
        embed::embed(table, ids)
    }

    /// One AdamW step of one parameter; never tracked.
    fn adamw(moved: Moved<Self>, gradient: Tensor<Self, 1>, step: &AdamWStep) -> Moved<Self> {
        adamw::adamw(moved, gradient, step)
    }

    /// Sum of squares, `[1]`; never tracked.
    fn square_sum(values: Tensor<Self, 1>) -> Tensor<Self, 1> {
        values.square().sum()
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
        cap: Option<f32>,
    ) -> Tensor<Self, 1> {
        B::tracked_token_logps(hidden, head, targets, cap)
    }

    fn entropy(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        cap: Option<f32>,
    ) -> Tensor<Self, 1> {
        B::tracked_entropy(hidden, head, cap)
    }

    fn norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        bias: Option<Tensor<Self, 1>>,
        eps: f64,
    ) -> Tensor<Self, 3> {
        B::tracked_norm(x, weight, bias, eps)
    }

    fn project(x: Tensor<Self, 2>, weight: Tensor<Self, 2>) -> Tensor<Self, 2> {
        B::tracked_project(x, weight)
    }

    fn adapted(
        x: Tensor<Self, 2>,
        weight: &Fixed<Self>,
        adapters: Vec<LowRank<Self>>,
    ) -> Tensor<Self, 2> {
        B::tracked_adapted(x, weight, adapters)
    }

    fn activate(x: Tensor<Self, 3>, kind: Activation) -> Tensor<Self, 3> {
        B::tracked_activate(x, kind)
    }

    fn embed(table: Tensor<Self, 2>, ids: &[u32]) -> Tensor<Self, 2> {
        B::tracked_embed(table, ids)
    }
}

/// A backend that models are trained on.
pub trait TrainBackend: AutodiffBackend<InnerBackend: Ops> + Ops {}

impl<B: AutodiffBackend<InnerBackend: Ops> + Ops> TrainBackend for B {}
