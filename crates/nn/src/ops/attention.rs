//! Attention over rows of prefix trees.

use burn::tensor::{FloatDType, Int, Tensor, TensorData, activation::softmax, backend::Backend};

use crate::ops::rotary::{Angles, RotaryTable, rotate};

/// What an invisible key's score is lowered by: enough for its weight to be exactly zero, and small
/// enough to stay finite in bf16.
const INVISIBLE: f32 = -1e30;

/// Grouped-query attention in which each query sees the keys that `bias` leaves alone.
///
/// # Shapes
///
/// - `query`: `[rows, heads, queries, head_dim]`
/// - `key`, `value`: `[rows, kv_heads, keys, head_dim]`
/// - `bias`: `[rows, 1, queries, keys]`, from [`visibility_bias`]
/// - `scale`: of scores, which are capped softly where there is a cap
/// - output: `[rows, queries, heads * head_dim]`
///
/// Every query must see at least one key. The queries that share a key-value head are stacked, so
/// keys and values are never repeated (Ainslie et al., arXiv 2305.13245).
pub fn forest_attention<B: Backend>(
    query: Tensor<B, 4>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
    bias: Tensor<B, 4>,
    (scale, cap): (f32, Option<f32>),
) -> Tensor<B, 3> {
    let [rows, heads, queries, head_dim] = query.dims();
    let [_, kv_heads, keys, _] = key.dims();
    let stacked = heads / kv_heads * queries;
    let scores = query
        .mul_scalar(scale)
        .reshape([rows, kv_heads, stacked, head_dim])
        .matmul(key.swap_dims(2, 3))
        .reshape([rows, heads, queries, keys]);
    let dtype = FloatDType::from(scores.dtype());
    let scores = softened(scores.cast(FloatDType::F32), cap);
    softmax(scores.add(bias), 3)
        .cast(dtype)
        .reshape([rows, kv_heads, stacked, keys])
        .matmul(value)
        .reshape([rows, heads, queries, head_dim])
        .swap_dims(1, 2)
        .reshape([rows, queries, heads * head_dim])
}

/// `cap * tanh(x / cap)` (Bello et al., arXiv 1611.09940), where there is a cap.
pub fn softened<B: Backend, const D: usize>(x: Tensor<B, D>, cap: Option<f32>) -> Tensor<B, D> {
    match cap {
        Some(cap) => x.div_scalar(cap).tanh().mul_scalar(cap),
        None => x,
    }
}

/// Turns "query sees key" into the bias that [`forest_attention`] adds to its scores.
///
/// # Shapes
///
/// - `visible`: `[rows * queries * keys]`
/// - output: `[rows, 1, queries, keys]`
pub fn visibility_bias<B: Backend>(
    visible: &[bool],
    [rows, queries, keys]: [usize; 3],
    device: &B::Device,
) -> Tensor<B, 4> {
    let bias: Vec<f32> = visible
        .iter()
        .map(|&sees| if sees { 0.0 } else { INVISIBLE })
        .collect();
    Tensor::from_data(TensorData::new(bias, [rows, 1, queries, keys]), device)
}

/// What attention over a forest reads besides queries, keys and values.
#[derive(Clone, Debug)]
pub struct TreeView {
    pub rows: usize,
    /// Columns of a row.
    pub width: usize,
    pub heads: usize,
    /// Divides `heads`.
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Depth of each token in its tree, `[rows * width]`.
    pub position: Vec<u32>,
    /// Column where each token's subtree ends, `[rows * width]`: query `i` sees key `j` exactly
    /// when `j <= i < end[j]`.
    pub end: Vec<u32>,
    /// With a sliding window, a query sees keys fewer than that many positions back.
    pub window: Option<usize>,
    /// What scores are multiplied by.
    pub scale: f32,
    /// Scores `x` become `cap * tanh(x / cap)`.
    pub cap: Option<f32>,
    /// Rotary angles; absent where nothing is turned.
    pub angles: Option<Angles>,
    /// Which of the angles each token has, `[rows * width]`: where nothing is said, those of its position.
    pub turns: Option<Vec<u32>>,
}

impl TreeView {
    /// Which of the angles each token has, `[rows * width]`.
    pub fn turns(&self) -> &[u32] {
        self.turns.as_deref().unwrap_or(&self.position)
    }
}

/// Attention over prefix trees from the fused projection, turned by rotary positions where there
/// are any. The default body of [`Ops::tree_attention`](crate::ops::Ops::tree_attention).
///
/// # Shapes
///
/// - `qkv`: `[rows, width, (heads + 2 * kv_heads) * head_dim]`
/// - output: `[rows, width, heads * head_dim]`
pub fn tree_attention<B: Backend>(qkv: Tensor<B, 3>, view: &TreeView) -> Tensor<B, 3> {
    let device = qkv.device();
    let (rows, width, head_dim) = (view.rows, view.width, view.head_dim);
    let take = |start: usize, heads: usize| {
        qkv.clone()
            .narrow(2, start * head_dim, heads * head_dim)
            .reshape([rows, width, heads, head_dim])
            .swap_dims(1, 2)
    };
    let (mut query, mut key) = (take(0, view.heads), take(view.heads, view.kv_heads));
    let value = take(view.heads + view.kv_heads, view.kv_heads);
    if let Some(angles) = &view.angles {
        let table = RotaryTable::new(view.turns(), rows, angles, &device);
        let dtype = FloatDType::from(query.dtype());
        query = rotate(query.cast(FloatDType::F32), &table).cast(dtype);
        key = rotate(key.cast(FloatDType::F32), &table).cast(dtype);
    }
    let bias = tree_bias(view, &device);
    forest_attention(query, key, value, bias, (view.scale, view.cap))
}

/// The bias of [`forest_attention`] for a whole forest, made on the device from integers that are
/// linear in the tokens.
fn tree_bias<B: Backend>(view: &TreeView, device: &B::Device) -> Tensor<B, 4> {
    let (rows, width) = (view.rows, view.width);
    let full = [rows, 1, width, width];
    let by_token = |values: &[u32]| {
        let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
        Tensor::<B, 1, Int>::from_data(TensorData::new(values, [rows * width]), device)
    };
    let along_keys = |x: &Tensor<B, 1, Int>| x.clone().reshape([rows, 1, 1, width]).expand(full);
    let along_queries = |x: &Tensor<B, 1, Int>| x.clone().reshape([rows, 1, width, 1]).expand(full);
    let columns: Vec<u32> = (0..rows * width)
        .map(|cell| (cell % width) as u32)
        .collect();
    let columns = by_token(&columns);
    let mut hidden = along_keys(&columns)
        .greater(along_queries(&columns))
        .bool_or(along_keys(&by_token(&view.end)).lower_equal(along_queries(&columns)));
    if let Some(window) = view.window {
        let position = by_token(&view.position);
        let reach = along_keys(&position).add_scalar(window as i64);
        hidden = hidden.bool_or(reach.lower_equal(along_queries(&position)));
    }
    Tensor::zeros(full, device).mask_fill(hidden, INVISIBLE)
}
