//! Linear maps, and what is trained beside those that are not.

use std::sync::Arc;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, FloatDType, Tensor, backend::Backend};

use crate::model::precision::Precision;
use crate::ops::{Dropout, Fixed, LowRank, Ops, Packed, lengths};

/// An affine map; the weight is `[in, out]`.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[in, out]`; without values where `packed` has them.
    pub weight: Param<Tensor<B, 2>>,
    pub bias: Option<Param<Tensor<B, 1>>>,
    /// In the order of the outputs that they add to, of which no two share any.
    pub adapters: Vec<Adapter<B>>,
    /// The weight in fewer bits.
    #[module(skip)]
    pub packed: Option<Arc<Packed>>,
}

/// A low-rank map that is trained beside a weight which is not; see [`LowRank`].
#[derive(Module, Debug)]
pub struct Adapter<B: Backend> {
    /// `[in, rank]`
    pub a: Param<Tensor<B, 2>>,
    /// `[rank, outputs]`
    pub b: Param<Tensor<B, 2>>,
    /// `[outputs]`
    pub magnitude: Option<Param<Tensor<B, 1>>>,
    #[module(skip)]
    pub start: usize,
    #[module(skip)]
    pub scale: f64,
    /// The share of its input that it does not see in training.
    #[module(skip)]
    pub dropout: f64,
    /// What draws that share; nothing where it is not trained.
    #[module(skip)]
    pub drawn: Option<u64>,
}

impl<B: Backend> Linear<B> {
    /// One that has no adapters.
    pub fn new(weight: Param<Tensor<B, 2>>, bias: Option<Param<Tensor<B, 1>>>) -> Self {
        Self {
            weight,
            bias,
            adapters: Vec::new(),
            packed: None,
        }
    }

    /// The weight, in whatever it is held.
    fn fixed(&self) -> Fixed<B> {
        Fixed {
            tensor: self.weight.val(),
            packed: self.packed.clone(),
        }
    }

    /// The weight and bias as a product's input.
    pub fn lowered(mut self, precision: Precision) -> Self {
        if self.packed.is_none() {
            self.weight = self.weight.map(|weight| precision.lower(weight));
        }
        let bias = self.bias.take();
        self.bias = bias.map(|bias| bias.map(|bias| precision.lower(bias)));
        self
    }

    /// The weight's values, `[in, out]` in f32.
    pub fn dense(&self) -> Tensor<B, 2> {
        self.fixed().dense(DType::F32)
    }

    /// Takes the adapters into the weight, which is f32 then.
    pub fn merge(&mut self) {
        let adapters = std::mem::take(&mut self.adapters);
        let mut weight = self.dense();
        let inputs = weight.dims()[0];
        for adapter in &adapters {
            let low = adapter.low_rank(Precision::F32);
            let place = [0..inputs, low.start..low.start + low.b.dims()[1]];
            let own = weight.clone().slice(place.clone());
            let sum = own.clone() + low.a.clone().matmul(low.b.clone()).mul_scalar(low.scale);
            let sum = match &low.magnitude {
                None => sum,
                Some(magnitude) => sum * (magnitude.clone().unsqueeze::<2>() / lengths(own, &low)),
            };
            weight = weight.slice_assign(place, sum);
        }
        self.packed = None;
        let tracked = self.weight.is_require_grad();
        self.weight = Param::initialized(ParamId::new(), weight.set_require_grad(tracked));
    }
}

impl<B: Backend> Adapter<B> {
    /// What the operation reads.
    fn low_rank(&self, precision: Precision) -> LowRank<B> {
        LowRank {
            a: precision.lower(self.a.val()),
            b: precision.lower(self.b.val()),
            magnitude: self.magnitude.as_ref().map(|it| it.val()),
            start: self.start,
            scale: self.scale,
            dropout: self
                .drawn
                .filter(|_| self.dropout > 0.0)
                .map(|seed| Dropout {
                    rate: self.dropout,
                    seed,
                }),
        }
    }
}

impl<B: Ops> Linear<B> {
    /// `[rows, width, in]` to `[rows, width, out]`.
    pub fn forward(&self, x: Tensor<B, 3>, precision: Precision) -> Tensor<B, 3> {
        let [rows, width, features] = x.dims();
        let x = precision.lower(x.reshape([rows * width, features]));
        let weight = Fixed {
            // What is held in bf16 is widened by the product itself.
            tensor: match (&self.packed, precision) {
                (None, Precision::Bf16) => precision.lower(self.weight.val()),
                _ => self.weight.val(),
            },
            packed: self.packed.clone(),
        };
        let plain = weight.packed.is_none() && weight.tensor.dtype() == x.dtype();
        let y = if plain && self.adapters.is_empty() {
            B::project(x, weight.tensor)
        } else {
            let adapters = self.adapters.iter().map(|it| it.low_rank(precision));
            B::adapted(x, &weight, adapters.collect())
        };
        let y = match &self.bias {
            Some(bias) => {
                let bias = bias.val().cast(FloatDType::from(y.dtype()));
                y.add(bias.unsqueeze())
            }
            None => y,
        };
        let features = y.dims()[1];
        y.reshape([rows, width, features])
    }
}
