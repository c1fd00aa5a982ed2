//! Rotary positions in Hugging Face's layout: the two halves of a head are rotated against each
//! other (Burn's own `RotaryEncoding` interleaves even and odd columns instead).

use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Cosines and sines of one head by position (RoFormer, arXiv 2104.09864).
#[derive(Clone, Debug)]
pub struct Angles {
    half: usize,
    /// `[positions, head_dim / 2]`
    cos: Vec<f32>,
    /// `[positions, head_dim / 2]`
    sin: Vec<f32>,
}

impl Angles {
    /// Angles of positions below `positions`, from the frequencies of one head, `[head_dim / 2]`.
    pub fn new(frequencies: &[f32], positions: usize) -> Self {
        let table = |f: fn(f32) -> f32| {
            (0..positions)
                .flat_map(|p| frequencies.iter().map(move |w| f(p as f32 * w)))
                .collect()
        };
        Self {
            half: frequencies.len(),
            cos: table(f32::cos),
            sin: table(f32::sin),
        }
    }

    /// Cosines and sines at one position, each `[head_dim / 2]`.
    pub fn at(&self, position: u32) -> (&[f32], &[f32]) {
        let at = position as usize * self.half..(position as usize + 1) * self.half;
        (&self.cos[at.clone()], &self.sin[at])
    }
}

/// Cosines and sines for every token of a batch, computed once and read by each block.
#[derive(Clone, Debug)]
pub struct RotaryTable<B: Backend> {
    /// `[rows, 1, width, head_dim / 2]`
    cos: Tensor<B, 4>,
    /// `[rows, 1, width, head_dim / 2]`
    sin: Tensor<B, 4>,
}

impl<B: Backend> RotaryTable<B> {
    /// Tables for `positions`, `[rows * width]`.
    pub fn new(positions: &[u32], rows: usize, angles: &Angles, device: &B::Device) -> Self {
        let shape = [rows, 1, positions.len() / rows, angles.half];
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for &position in positions {
            let (cosines, sines) = angles.at(position);
            cos.extend_from_slice(cosines);
            sin.extend_from_slice(sines);
        }
        let table = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), device);
        Self {
            cos: table(cos),
            sin: table(sin),
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
