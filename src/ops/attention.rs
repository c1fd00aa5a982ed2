//! Attention over rows of prefix trees.

use burn::tensor::{Tensor, TensorData, activation::softmax, backend::Backend};

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
/// - output: `[rows, queries, heads * head_dim]`
///
/// Every query must see at least one key. The queries that share a key-value head are stacked, so
/// keys and values are never repeated (Ainslie et al., arXiv 2305.13245).
pub fn forest_attention<B: Backend>(
    query: Tensor<B, 4>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
    bias: Tensor<B, 4>,
) -> Tensor<B, 3> {
    let [rows, heads, queries, head_dim] = query.dims();
    let [_, kv_heads, keys, _] = key.dims();
    let stacked = heads / kv_heads * queries;
    let scale = 1.0 / (head_dim as f64).sqrt();
    let scores = query
        .mul_scalar(scale)
        .reshape([rows, kv_heads, stacked, head_dim])
        .matmul(key.swap_dims(2, 3))
        .reshape([rows, heads, queries, keys]);
    softmax(scores.add(bias), 3)
        .reshape([rows, kv_heads, stacked, keys])
        .matmul(value)
        .reshape([rows, heads, queries, head_dim])
        .swap_dims(1, 2)
        .reshape([rows, queries, heads * head_dim])
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
