//! Rotary positions in Hugging Face's layout: the two halves of a head are rotated against each
//! other (Burn's own `RotaryEncoding` interleaves even and odd columns instead).

use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Cosines and sines for every token of a batch, computed once and read by each block.
#[derive(Clone, Debug)]
pub struct RotaryTable<B: Backend> {
    /// `[rows, 1, width, head_dim / 2]`
    cos: Tensor<B, 4>,
    /// `[rows, 1, width, head_dim / 2]`
    sin: Tensor<B, 4>,
}

impl<B: Backend> RotaryTable<B> {
    /// Tables for `positions`, `[rows * width]`, from the frequencies of one head,
    /// `[head_dim / 2]` (RoFormer, arXiv 2104.09864).
    pub fn new(
        positions: &[u32],
        rows: usize,
        frequencies: &[f32],
        device: &B::Device,
    ) -> Self {
        let half = frequencies.len();
        let width = positions.len() / rows;
        let table = |f: fn(f32) -> f32| {
            let values: Vec<f32> = positions
                .iter()
                .flat_map(|&p| {
                    frequencies
                        .iter()
                        .map(move |w| f(p as f32 * w))
                })
                .collect();
            Tensor::from_data(TensorData::new(values, [rows, 1, width, half]), device)
        };
        Self {
            cos: table(f32::cos),
            sin: table(f32::sin),
        }
    }
}

/// Rotates queries or keys by their positions.
///
/// # Shapes
///
/// - `x`: `[rows, heads, width, head_dim]`; output the same
pub fn rotate<B: Backend>(x: Tensor<B, 4>, table: &RotaryTable<B>) -> Tensor<B, 4> {
    let half = x.dims()[3] / 2;
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    let (cos, sin) = (table.cos.clone(), table.sin.clone());
    Tensor::cat(
        vec![
            first.clone().mul(cos.clone()) - second.clone().mul(sin.clone()),
            second.mul(cos) + first.mul(sin),
        ],
        3,
    )
}
