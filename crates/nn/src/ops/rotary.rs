//! Rotary positions in Hugging Face's layout: the two halves of a head are rotated against each
//! other (Burn's own `RotaryEncoding` interleaves even and odd columns instead).

use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Cosines and sines of one head by position (RoFormer, arXiv 2104.09864). The head's first features, twice as many as
/// there are frequencies, are turned; the others stay.
#[derive(Clone, Debug)]
pub struct Angles {
    half: usize,
    /// `[positions, frequencies]`
    cos: Vec<f32>,
    /// `[positions, frequencies]`
    sin: Vec<f32>,
}

impl Angles {
    /// Angles of positions below `positions`; what is turned is multiplied by `factor` too.
    pub fn new(frequencies: &[f32], factor: f32, positions: usize) -> Self {
        let table = |f: fn(f32) -> f32| {
            (0..positions)
                .flat_map(|p| frequencies.iter().map(move |w| f(p as f32 * w) * factor))
                .collect()
        };
        Self {
            half: frequencies.len(),
            cos: table(f32::cos),
            sin: table(f32::sin),
        }
    }

    /// The angles of another set of frequencies behind these.
    pub fn followed_by(mut self, other: Self) -> Self {
        assert_eq!(self.half, other.half, "both of one head");
        self.cos.extend(other.cos);
        self.sin.extend(other.sin);
        self
    }

    /// Half of the features that are turned.
    pub fn half(&self) -> usize {
        self.half
    }

    /// Cosines and sines at one position, each `[frequencies]`.
    pub fn at(&self, position: u32) -> (&[f32], &[f32]) {
        let at = position as usize * self.half..(position as usize + 1) * self.half;
        (&self.cos[at.clone()], &self.sin[at])
    }
}

/// Cosines and sines for every token of a batch, computed once and read by each block.
#[derive(Clone, Debug)]
pub struct RotaryTable<B: Backend> {
    /// `[rows, 1, width, frequencies]`
    cos: Tensor<B, 4>,
    /// `[rows, 1, width, frequencies]`
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
    let (size, half) = (x.dims()[3], table.cos.dims()[3]);
    let first = x.clone().narrow(3, 0, half);
    let second = x.clone().narrow(3, half, half);
    let (cos, sin) = (table.cos.clone(), table.sin.clone());
    let mut parts = vec![
        first.clone().mul(cos.clone()) - second.clone().mul(sin.clone()),
        second.mul(cos) + first.mul(sin),
    ];
    if 2 * half < size {
        parts.push(x.narrow(3, 2 * half, size - 2 * half));
    }
    Tensor::cat(parts, 3)
}
