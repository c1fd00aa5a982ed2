//! One layer of the key-value cache of generation: slots of a fixed number of tokens, preallocated.

use std::ops::Range;

use burn::tensor::{FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, backend::Backend};

use crate::ops::attention::{forest_attention, visibility_bias};
use crate::ops::rotary::{Angles, RotaryTable, rotate};

/// Keys and values of one layer, each `[kv_heads, slots, head_dim]`; keys are already turned by
/// their positions.
#[derive(Clone, Debug)]
pub struct LayerCache<B: Backend> {
    pub key: Tensor<B, 3>,
    pub value: Tensor<B, 3>,
}

/// Where new tokens stand in the cache.
#[derive(Clone, Debug)]
pub struct CacheView<'a> {
    pub heads: usize,
    /// Divides `heads`.
    pub kv_heads: usize,
    pub head_dim: usize,
    /// The slot of each new token, all different, `[tokens]`.
    pub slots: &'a [u32],
    /// Its position in its sequence, `[tokens]`.
    pub position: &'a [u32],
    /// The slots that each new token attends to, as ranges: at least its own. Not read by writing.
    pub visible: &'a [Vec<Range<u32>>],
    /// What scores are multiplied by.
    pub scale: f32,
    /// Scores `x` become `cap * tanh(x / cap)`.
    pub cap: Option<f32>,
    /// Rotary angles of all positions; absent where nothing is turned.
    pub angles: Option<&'a Angles>,
}

/// The default body of [`Ops::cache_write`](crate::ops::Ops::cache_write).
pub(super) fn write<B: Backend>(
    layer: LayerCache<B>,
    qkv: Tensor<B, 3>,
    view: &CacheView<'_>,
) -> LayerCache<B> {
    let device = qkv.device();
    let key = turned(take(&qkv, view, view.heads, view.kv_heads), view);
    let value = take(&qkv, view, view.heads + view.kv_heads, view.kv_heads);
    let slots = indices(view.slots.iter().copied(), &device);
    let put = |cache: Tensor<B, 3>, new: Tensor<B, 4>| {
        let new = new.squeeze_dim::<3>(2).swap_dims(0, 1);
        // Burn only adds in place; `x + -x` is exactly zero.
        let old = cache.clone().select(1, slots.clone());
        cache
            .select_assign(1, slots.clone(), old.neg(), IndexingUpdateOp::Add)
            .select_assign(1, slots.clone(), new, IndexingUpdateOp::Add)
    };
    LayerCache {
        key: put(layer.key, key),
        value: put(layer.value, value),
    }
}

/// The default body of [`Ops::cache_attention`](crate::ops::Ops::cache_attention): each query's keys are gathered, as many as the
/// query with the most has.
pub fn attention<B: Backend>(
    layer: &LayerCache<B>,
    qkv: Tensor<B, 3>,
    view: &CacheView<'_>,
) -> Tensor<B, 3> {
    let device = qkv.device();
    let queries = view.slots.len();
    let keys_of = |visible: &[Range<u32>]| visible.iter().map(|r| r.len()).sum::<usize>();
    let most = view.visible.iter().map(|v| keys_of(v)).max().unwrap_or(0);
    let mut gathered = Vec::with_capacity(queries * most);
    let mut seen = Vec::with_capacity(queries * most);
    for visible in view.visible {
        let keys = keys_of(visible);
        gathered.extend(visible.iter().cloned().flatten());
        gathered.extend(std::iter::repeat_n(0, most - keys));
        seen.extend((0..most).map(|key| key < keys));
    }
    let gathered = indices(gathered.into_iter(), &device);
    let gather = |cache: &Tensor<B, 3>| {
        cache
            .clone()
            .select(1, gathered.clone())
            .reshape([view.kv_heads, queries, most, view.head_dim])
            .swap_dims(0, 1)
    };
    let query = turned(take(&qkv, view, 0, view.heads), view);
    let bias = visibility_bias(&seen, [queries, 1, most], &device);
    let scores = (view.scale, view.cap);
    forest_attention(
        query,
        gather(&layer.key),
        gather(&layer.value),
        bias,
        scores,
    )
    .swap_dims(0, 1)
}

/// Queries or keys turned by their positions, where these are rotary: in f32, whatever they are kept in.
fn turned<B: Backend>(x: Tensor<B, 4>, view: &CacheView<'_>) -> Tensor<B, 4> {
    let Some(angles) = view.angles else {
        return x;
    };
    let table = RotaryTable::new(view.position, view.slots.len(), angles, &x.device());
    let dtype = FloatDType::from(x.dtype());
    rotate(x.cast(FloatDType::F32), &table).cast(dtype)
}

/// `heads` heads from the `start`th on, `[tokens, heads, 1, head_dim]`.
fn take<B: Backend>(
    qkv: &Tensor<B, 3>,
    view: &CacheView<'_>,
    start: usize,
    heads: usize,
) -> Tensor<B, 4> {
    qkv.clone()
        .narrow(2, start * view.head_dim, heads * view.head_dim)
        .reshape([view.slots.len(), heads, 1, view.head_dim])
}

fn indices<B: Backend>(values: impl Iterator<Item = u32>, device: &B::Device) -> Tensor<B, 1, Int> {
    let values: Vec<i32> = values.map(|v| v as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
