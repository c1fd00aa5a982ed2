//! Products with weights that are not trained, and the low-rank products beside them: what an adapter adds is added in
//! place, backward keeps its input and its small product alone, and no gradient of the weight is computed.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::{DType, Tensor};
use burn_flex::{Flex, FlexTensor};
use half::bf16;
use rayon::prelude::*;

use crate::ops::flex::host::{like, plain, tensor, values};
use crate::ops::flex::product::{Matrix, add_to_part};
use crate::ops::record::{Tracked, raw, record, wrap};
use crate::ops::{Dropout, Fixed, LowRank, Ops, Packed, lora};

/// Values converted in a work item.
const CHUNK: usize = 1 << 15;

/// A weight, `[in, out]`.
#[derive(Clone, Debug)]
pub(super) enum Weight {
    F32(FlexTensor),
    Bf16(FlexTensor),
    /// Output by output.
    Packed(Arc<Packed>),
}

impl Weight {
    /// The weight as it is held; nothing where it is held in a type that is not computed with.
    pub(super) fn new(tensor: FlexTensor, packed: Option<Arc<Packed>>) -> Option<Self> {
        Some(match (packed, tensor.dtype()) {
            (Some(packed), _) => Self::Packed(packed),
            (None, DType::F32) => Self::F32(tensor.to_contiguous()),
            (None, DType::BF16) => Self::Bf16(tensor.to_contiguous()),
            _ => return None,
        })
    }

    /// Reads it in f32: what is not held so exists as long as `read` runs.
    fn read<T>(&self, read: impl FnOnce(Matrix<'_>) -> T) -> T {
        match self {
            Self::F32(tensor) => read(Matrix::rows(values(tensor), tensor.layout().shape()[1])),
            Self::Bf16(tensor) => {
                let stored: &[bf16] = tensor
                    .as_slice()
                    .expect("checked to be bf16 and contiguous");
                let mut widened = vec![0.0; stored.len()];
                let chunks = widened.par_chunks_mut(CHUNK).zip(stored.par_chunks(CHUNK));
                chunks.for_each(|(widened, stored)| {
                    for (value, stored) in widened.iter_mut().zip(stored) {
                        *value = f32::from_bits(u32::from(stored.to_bits()) << 16);
                    }
                });
                read(Matrix::rows(&widened, tensor.layout().shape()[1]))
            }
            Self::Packed(packed) => {
                read(Matrix::rows(&packed.values(), packed.shape()[1]).transposed())
            }
        }
    }
}

/// One adapter's tensors, contiguous and in f32.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// `[in, rank]`
    pub a: FlexTensor,
    /// `[rank, outputs]`
    pub b: FlexTensor,
    pub start: usize,
    pub scale: f32,
    pub dropout: Option<Dropout>,
}

impl Part {
    fn rank(&self) -> usize {
        self.b.layout().shape()[0]
    }

    fn outputs(&self) -> usize {
        self.b.layout().shape()[1]
    }

    fn a(&self) -> Matrix<'_> {
        Matrix::rows(values(&self.a), self.rank())
    }

    fn b(&self) -> Matrix<'_> {
        Matrix::rows(values(&self.b), self.outputs())
    }
}

/// Reads what of `x` an adapter sees.
fn seen<T>(x: &[f32], dropout: Option<Dropout>, read: impl FnOnce(&[f32]) -> T) -> T {
    match dropout {
        None => read(x),
        Some(dropout) => {
            let mut seen = x.to_vec();
            drop_out(&mut seen, dropout);
            read(&seen)
        }
    }
}

fn drop_out(values: &mut [f32], dropout: Dropout) {
    let chunks = values.par_chunks_mut(CHUNK).enumerate();
    chunks.for_each(|(chunk, values)| {
        for (at, value) in (chunk * CHUNK..).zip(values) {
            *value *= dropout.factor(at);
        }
    });
}

/// The product, `[tokens, out]`, and each adapter's `x @ a`, which backward reads.
pub(super) fn forward(
    x: &FlexTensor,
    weight: &Weight,
    parts: &[Part],
) -> (FlexTensor, Vec<Vec<f32>>) {
    let [tokens, inputs] = [0, 1].map(|d| x.layout().shape()[d]);
    let x = values(x);
    let (mut y, width) = weight.read(|weight| {
        let y = Matrix::rows(x, inputs).times(weight);
        (y, weight.columns())
    });
    let low = parts.iter().map(|part| {
        let low = seen(x, part.dropout, |x| Matrix::rows(x, inputs).times(part.a()));
        let small = Matrix::rows(&low, part.rank());
        add_to_part(&mut y, (width, part.start), small, part.b(), part.scale);
        low
    });
    let low = low.collect();
    (tensor(y, [tokens, width]), low)
}

/// Gradients of `x` and of each adapter's `a` and `b`, of those that need one.
pub(super) fn backward(
    x: &FlexTensor,
    weight: &Weight,
    (parts, low): (&[Part], &[Vec<f32>]),
    grad: &FlexTensor,
    needed: &[bool],
) -> Vec<Option<FlexTensor>> {
    let (inputs, width) = (x.layout().shape()[1], grad.layout().shape()[1]);
    let (x_values, slope) = (values(x), values(grad));
    let mut on_x = needed[0]
        .then(|| weight.read(|weight| Matrix::rows(slope, width).times(weight.transposed())));
    let mut found = vec![None];
    for (index, (part, low)) in parts.iter().zip(low).enumerate() {
        let (rank, columns) = (part.rank(), part.start..part.start + part.outputs());
        let own = Matrix::part(slope, width, columns);
        let scaled = |mut values: Vec<f32>| {
            values.iter_mut().for_each(|value| *value *= part.scale);
            values
        };
        let on_low = scaled(own.times(part.b().transposed()));
        let on_low = Matrix::rows(&on_low, rank);
        found.push(needed[1 + 2 * index].then(|| {
            let on_a = seen(x_values, part.dropout, |x| {
                Matrix::rows(x, inputs).transposed().times(on_low)
            });
            like(&part.a, on_a)
        }));
        found.push(needed[2 + 2 * index].then(|| {
            let on_b = Matrix::rows(low, rank).transposed().times(own);
            like(&part.b, scaled(on_b))
        }));
        match (&mut on_x, part.dropout) {
            (None, _) => {}
            (Some(on_x), None) => {
                add_to_part(on_x, (inputs, 0), on_low, part.a().transposed(), 1.0);
            }
            (Some(on_x), Some(dropout)) => {
                let mut through = on_low.times(part.a().transposed());
                drop_out(&mut through, dropout);
                let pairs = on_x.par_chunks_mut(CHUNK).zip(through.par_chunks(CHUNK));
                pairs.for_each(|(on_x, through)| {
                    on_x.iter_mut()
                        .zip(through)
                        .for_each(|(x, added)| *x += added);
                });
            }
        }
    }
    found[0] = on_x.map(|on_x| like(x, on_x));
    found
}

/// An adapter as the kernel reads it; nothing where it does not.
fn part(adapter: &LowRank<Flex>) -> Option<Part> {
    if adapter.magnitude.is_some() {
        return None;
    }
    let [a, b] = plain([raw(adapter.a.clone()), raw(adapter.b.clone())])?;
    Some(Part {
        a,
        b,
        start: adapter.start,
        scale: adapter.scale as f32,
        dropout: adapter.dropout,
    })
}

/// [`Ops::adapted`], by the kernel where it reads all that it is given.
pub(super) fn plain_adapted(
    x: Tensor<Flex, 2>,
    weight: &Fixed<Flex>,
    adapters: Vec<LowRank<Flex>>,
) -> Tensor<Flex, 2> {
    let held = Weight::new(raw(weight.tensor.clone()), weight.packed.clone());
    let parts: Option<Vec<_>> = adapters.iter().map(part).collect();
    match (plain([raw(x.clone())]), held, parts) {
        (Some([plain]), Some(held), Some(parts)) => wrap(forward(&plain, &held, &parts).0),
        _ => lora::adapted(x, weight, &adapters, Flex::project),
    }
}

/// A fixed weight's product with its adapters, recorded with `N` inputs: `x`, then each adapter's `a` and `b`.
pub(super) fn adapted<C: CheckpointStrategy, const N: usize>(
    x: Tracked<Flex, C, 2>,
    weight: &Fixed<Autodiff<Flex, C>>,
    adapters: Vec<LowRank<Autodiff<Flex, C>>>,
) -> Tracked<Flex, C, 2> {
    let held = raw(weight.tensor.clone()).primitive;
    let held = Weight::new(held, weight.packed.clone());
    let inner = |adapter: &LowRank<Autodiff<Flex, C>>| {
        let untracked = |it: &Tensor<Autodiff<Flex, C>, 2>| wrap(raw(it.clone()).primitive);
        part(&LowRank {
            a: untracked(&adapter.a),
            b: untracked(&adapter.b),
            magnitude: adapter
                .magnitude
                .as_ref()
                .map(|it| wrap(raw(it.clone()).primitive)),
            start: adapter.start,
            scale: adapter.scale,
            dropout: adapter.dropout,
        })
    };
    let parts: Option<Vec<_>> = adapters.iter().map(inner).collect();
    let input = raw(x.clone());
    let (Some([plain]), Some(held), Some(parts)) = (plain([input.primitive.clone()]), held, parts)
    else {
        return lora::adapted(x, weight, &adapters, Flex::tracked_project);
    };
    let (out, low) = forward(&plain, &held, &parts);
    let pairs = adapters.into_iter().flat_map(|it| [raw(it.a), raw(it.b)]);
    let inputs: Vec<_> = std::iter::once(input).chain(pairs).collect();
    let inputs: [_; N] = inputs.try_into().expect("two inputs an adapter");
    let state = (plain, held, Arc::new((parts, low)));
    record(inputs, state, out, |(x, weight, adapters), grad, needed| {
        let (parts, low) = &*adapters;
        let grad = grad.to_contiguous();
        let found = backward(&x, &weight, (parts, low), &grad, &needed);
        found.try_into().expect("one gradient an input")
    })
}
