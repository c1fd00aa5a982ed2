//! Linear maps whose weight is not trained, and the low-rank maps that are trained beside it: LoRA (Hu et al.,
//! arXiv 2106.09685) and DoRA (Liu et al., arXiv 2402.09353), as PEFT computes them.

mod packed;

use std::sync::Arc;

use burn::tensor::{DType, FloatDType, Tensor, TensorData, backend::Backend};

pub use packed::{Packed, Packing};

/// A weight that is not trained: `[in, out]` in f32 or bf16, or packed into fewer bits.
#[derive(Clone, Debug)]
pub struct Fixed<B: Backend> {
    /// Without values where `packed` has them.
    pub tensor: Tensor<B, 2>,
    pub packed: Option<Arc<Packed>>,
}

impl<B: Backend> Fixed<B> {
    /// Its values, `[in, out]`, in the type `dtype`.
    pub fn dense(&self, dtype: DType) -> Tensor<B, 2> {
        let tensor = match &self.packed {
            None => self.tensor.clone(),
            Some(packed) => {
                let values = TensorData::new(packed.values(), packed.shape());
                // Stored output by output.
                let device = self.tensor.device();
                Tensor::from_data(values, (&device, DType::F32)).transpose()
            }
        };
        match tensor.dtype() == dtype {
            true => tensor,
            false => tensor.cast(FloatDType::from(dtype)),
        }
    }
}

/// What an adapter adds to some of a linear map's outputs: `scale * (x @ a) @ b`.
#[derive(Clone, Debug)]
pub struct LowRank<B: Backend> {
    /// `[in, rank]`
    pub a: Tensor<B, 2>,
    /// `[rank, outputs]`
    pub b: Tensor<B, 2>,
    /// DoRA: the length that each output's weights are given, `[outputs]`.
    pub magnitude: Option<Tensor<B, 1>>,
    /// The first output that it adds to.
    pub start: usize,
    pub scale: f64,
    /// What of its input it does not see; nothing where it is not trained.
    pub dropout: Option<Dropout>,
}

/// Values that are left out at random, each by its own place and the seed, so that backward leaves out the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share that is left out, below 1.
    pub rate: f64,
    pub seed: u64,
}

impl Dropout {
    /// What the value at `place` is multiplied by: 0, or what keeps the mean.
    pub fn factor(self, place: usize) -> f32 {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        let mut bits = self
            .seed
            .wrapping_add((place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // 53 bits are a number in [0, 1).
        let drawn = (bits >> 11) as f64 / (1u64 << 53) as f64;
        match drawn < self.rate {
            true => 0.0,
            false => (1.0 / (1.0 - self.rate)) as f32,
        }
    }

    /// `x` without what is left out.
    fn apply<B: Backend>(self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let shape = x.dims();
        let factors: Vec<f32> = (0..shape[0] * shape[1]).map(|it| self.factor(it)).collect();
        let factors = TensorData::new(factors, shape);
        x.clone() * Tensor::from_data(factors, (&x.device(), x.dtype()))
    }
}

/// The default body of `Ops::adapted`, by the product `project`.
pub fn adapted<B: Backend>(
    x: Tensor<B, 2>,
    weight: &Fixed<B>,
    adapters: &[LowRank<B>],
    project: impl Fn(Tensor<B, 2>, Tensor<B, 2>) -> Tensor<B, 2>,
) -> Tensor<B, 2> {
    let dense = weight.dense(x.dtype());
    let y = project(x.clone(), dense.clone());
    let outputs = y.dims()[1];
    let (mut parts, mut done) = (Vec::new(), 0);
    for adapter in adapters {
        let (from, count) = (adapter.start, adapter.b.dims()[1]);
        if done < from {
            parts.push(y.clone().narrow(1, done, from - done));
        }
        done = from + count;
        let seen = match adapter.dropout {
            Some(dropout) => dropout.apply(x.clone()),
            None => x.clone(),
        };
        let low = project(seen.clone(), adapter.a.clone());
        let added = project(low, adapter.b.clone()).mul_scalar(adapter.scale);
        let own = y.clone().narrow(1, from, count);
        let Some(magnitude) = &adapter.magnitude else {
            parts.push(own + added);
            continue;
        };
        let weight = dense.clone().narrow(1, from, count);
        let gain = (magnitude.clone().unsqueeze::<2>() / lengths(weight.clone(), adapter))
            .cast(FloatDType::from(x.dtype()));
        let base = match adapter.dropout {
            Some(_) => project(seen, weight),
            None => own.clone(),
        };
        parts.push(own + base * (gain.clone() - 1.0) + added * gain);
    }
    if done < outputs {
        parts.push(y.narrow(1, done, outputs - done));
    }
    Tensor::cat(parts, 1)
}

/// The length of each output's weights with what the adapter adds to them, `[1, outputs]` in f32; a constant to
/// backward, as section 4.3 of DoRA has it.
pub fn lengths<B: Backend>(weight: Tensor<B, 2>, adapter: &LowRank<B>) -> Tensor<B, 2> {
    let [weight, a, b] =
        [weight, adapter.a.clone(), adapter.b.clone()].map(|it| it.detach().cast(FloatDType::F32));
    let sum = weight + a.matmul(b).mul_scalar(adapter.scale);
    sum.square().sum_dim(0).sqrt()
}
