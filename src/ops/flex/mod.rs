//! Kernels for the Flex backend: SIMD, threads, and backward by hand.

mod activation;
mod attention;
mod cache;
mod lanes;
mod logps;
mod norm;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops as Step, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive};
use burn_flex::{Flex, FlexTensor};

use crate::ops::{CacheView, LayerCache, Ops, Tracked, TreeView};

impl Ops for Flex {
    fn tree_attention(qkv: Tensor<Self, 3>, view: &Arc<TreeView>) -> Tensor<Self, 3> {
        let Some([qkv]) = plain([raw(qkv.clone())]) else {
            return super::attention::tree_attention(qkv, view);
        };
        let (out, _) = attention::forward(values(&qkv), view);
        wrap(tensor(
            out,
            [view.rows, view.width, view.heads * view.head_dim],
        ))
    }

    fn tracked_tree_attention<C: CheckpointStrategy>(
        qkv: Tracked<Self, C, 3>,
        view: &Arc<TreeView>,
    ) -> Tracked<Self, C, 3> {
        let inputs = [raw(qkv.clone())];
        let Some([qkv]) = plain(inputs.clone().map(|x| x.primitive)) else {
            return super::attention::tree_attention(qkv, view);
        };
        let (out, lse) = attention::forward(values(&qkv), view);
        let out = tensor(out, [view.rows, view.width, view.heads * view.head_dim]);
        let state = (qkv, out.clone(), Arc::new(lse), view.clone());
        record(inputs, state, out, |(qkv, out, lse, view), grad| {
            let result =
                attention::backward(values(&qkv), values(&out), &lse, values(&grad), &view);
            [like(&qkv, result)]
        })
    }

    fn cache_zeros(shape: [usize; 3], dtype: DType, device: &Self::Device) -> Tensor<Self, 3> {
        // Pages that the system clears when they are first written to, so that room that is never
        // used costs nothing; Flex's own zeros are copied once more.
        match dtype {
            DType::F32 => wrap(tensor(vec![0.0; shape.iter().product()], shape)),
            _ => Tensor::zeros(shape, (device, dtype)),
        }
    }

    fn cache_write(
        layer: LayerCache<Self>,
        qkv: Tensor<Self, 3>,
        view: &CacheView<'_>,
    ) -> LayerCache<Self> {
        let inputs = [
            raw(layer.key.clone()),
            raw(layer.value.clone()),
            raw(qkv.clone()),
        ];
        let Some([mut key, mut value, qkv]) = plain(inputs) else {
            return super::cache::write(layer, qkv, view);
        };
        // The last other reference goes, so that the storage is written in place.
        drop(layer);
        cache::write(
            values(&qkv),
            key.storage_mut::<f32>(),
            value.storage_mut::<f32>(),
            view,
        );
        LayerCache {
            key: wrap(key),
            value: wrap(value),
        }
    }

    fn cache_attention(
        layer: &LayerCache<Self>,
        qkv: Tensor<Self, 3>,
        view: &CacheView<'_>,
    ) -> Tensor<Self, 3> {
        let inputs = [
            raw(layer.key.clone()),
            raw(layer.value.clone()),
            raw(qkv.clone()),
        ];
        let Some([key, value, qkv]) = plain(inputs) else {
            return super::cache::attention(layer, qkv, view);
        };
        let out = cache::attention(values(&qkv), values(&key), values(&value), view);
        wrap(tensor(
            out,
            [1, view.slots.len(), view.heads * view.head_dim],
        ))
    }

    fn logits(hidden: Tensor<Self, 2>, head: Tensor<Self, 2>, into: &mut Vec<f32>) {
        match plain([raw(hidden.clone()), raw(head.clone())]) {
            Some([hidden, head]) => logps::logits(&hidden, &head, into),
            None => super::logps::logits(hidden, head, into),
        }
    }

    fn token_logps(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        targets: &[u32],
    ) -> Tensor<Self, 1> {
        let Some([hidden, head]) = plain([raw(hidden.clone()), raw(head.clone())]) else {
            return super::logps::token_logps(hidden, head, targets);
        };
        wrap(tensor(
            logps::forward(&hidden, &head, targets),
            [targets.len()],
        ))
    }

    fn tracked_token_logps<C: CheckpointStrategy>(
        hidden: Tracked<Self, C, 2>,
        head: Tracked<Self, C, 2>,
        targets: &[u32],
    ) -> Tracked<Self, C, 1> {
        let inputs = [raw(hidden.clone()), raw(head.clone())];
        let Some([hidden, head]) = plain(inputs.clone().map(|x| x.primitive)) else {
            return super::logps::token_logps(hidden, head, targets);
        };
        let out = tensor(logps::forward(&hidden, &head, targets), [targets.len()]);
        let state = (hidden, head, Arc::new(targets.to_vec()));
        record(inputs, state, out, |(hidden, head, targets), grad| {
            logps::backward(&hidden, &head, &targets, values(&grad))
        })
    }

    fn norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        bias: Option<Tensor<Self, 1>>,
        eps: f64,
    ) -> Tensor<Self, 3> {
        let biases = bias.clone().unwrap_or_else(|| weight.clone());
        let inputs = [raw(x.clone()), raw(weight.clone()), raw(biases)];
        let Some([x, weight, biases]) = plain(inputs) else {
            return super::norm::norm(x, weight, bias, eps);
        };
        let bias = bias.map(|_| values(&biases));
        wrap(like(
            &x,
            norm::forward(values(&x), values(&weight), bias, eps as f32),
        ))
    }

    fn tracked_norm<C: CheckpointStrategy>(
        x: Tracked<Self, C, 3>,
        weight: Tracked<Self, C, 1>,
        bias: Option<Tracked<Self, C, 1>>,
        eps: f64,
    ) -> Tracked<Self, C, 3> {
        let shared = [raw(x.clone()), raw(weight.clone())];
        let biases = bias.clone().map_or_else(|| shared[1].clone(), raw);
        let [first, second] = shared.clone().map(|x| x.primitive);
        let Some([x, weight, biases_plain]) = plain([first, second, biases.primitive.clone()])
        else {
            return super::norm::norm(x, weight, bias, eps);
        };
        let eps = eps as f32;
        let used = bias.is_some().then(|| values(&biases_plain));
        let out = like(&x, norm::forward(values(&x), values(&weight), used, eps));
        let state = (x, weight, bias.is_some(), eps);
        let gradients = |(x, weight, centred, eps): (FlexTensor, FlexTensor, bool, f32),
                         grad: FlexTensor| {
            let [on_x, on_weight, on_bias] =
                norm::backward(values(&x), values(&weight), values(&grad), centred, eps);
            [
                like(&x, on_x),
                like(&weight, on_weight),
                like(&weight, on_bias),
            ]
        };
        let [first, second] = shared;
        match bias {
            Some(_) => record([first, second, biases], state, out, gradients),
            None => record([first, second], state, out, |state, grad| {
                let (x, weight, centred, eps) = state;
                let [on_x, on_weight, _] =
                    norm::backward(values(&x), values(&weight), values(&grad), centred, eps);
                [like(&x, on_x), like(&weight, on_weight)]
            }),
        }
    }

    fn swiglu(x: Tensor<Self, 3>) -> Tensor<Self, 3> {
        let [rows, width, size] = x.dims();
        let Some([x]) = plain([raw(x.clone())]) else {
            return super::activation::swiglu(x);
        };
        let out = activation::swiglu(values(&x), size / 2);
        wrap(tensor(out, [rows, width, size / 2]))
    }

    fn tracked_swiglu<C: CheckpointStrategy>(x: Tracked<Self, C, 3>) -> Tracked<Self, C, 3> {
        let [rows, width, size] = x.dims();
        let inputs = [raw(x.clone())];
        let Some([x]) = plain(inputs.clone().map(|x| x.primitive)) else {
            return super::activation::swiglu(x);
        };
        let out = tensor(
            activation::swiglu(values(&x), size / 2),
            [rows, width, size / 2],
        );
        record(inputs, (x, size / 2), out, |(x, inner), grad| {
            [like(
                &x,
                activation::swiglu_backward(values(&x), values(&grad), inner),
            )]
        })
    }
}

/// A kernel's backward: the gradients of its inputs, from what forward kept and the output's
/// gradient.
#[derive(Debug)]
struct Recorded<S, const N: usize>(fn(S, FlexTensor) -> [FlexTensor; N]);

impl<S: Clone + Send + Debug + 'static, const N: usize> Backward<Flex, N> for Recorded<S, N> {
    type State = S;

    fn backward(self, step: Step<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let grad = gradients.consume::<Flex>(&step.node).to_contiguous();
        for (parent, grad) in step.parents.into_iter().zip(self.0(step.state, grad)) {
            if let Some(parent) = parent {
                gradients.register::<Flex>(parent.id, grad);
            }
        }
    }
}

/// Records an operation that gave `out` from `inputs`.
fn record<
    C: CheckpointStrategy,
    S: Clone + Send + Debug + 'static,
    const N: usize,
    const D: usize,
>(
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
    state: S,
    out: FlexTensor,
    backward: fn(S, FlexTensor) -> [FlexTensor; N],
) -> Tracked<Flex, C, D> {
    let step = Recorded(backward).prepare::<C>(inputs.map(|input| input.node));
    wrap::<Autodiff<Flex, C>, D>(match step.compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, out),
        OpsKind::UnTracked(step) => step.finish(out),
    })
}

/// The inputs made contiguous, if all are f32: what the kernels read.
fn plain<const N: usize>(inputs: [FlexTensor; N]) -> Option<[FlexTensor; N]> {
    let f32s = inputs.iter().all(|input| input.dtype() == DType::F32);
    f32s.then(|| inputs.map(|input| input.to_contiguous()))
}

/// A tensor's primitive.
fn raw<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// Row-major values in the shape of `tensor`.
fn like(tensor: &FlexTensor, values: Vec<f32>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, tensor.layout().shape().clone()))
}

/// A tensor from its primitive.
fn wrap<B: Backend, const D: usize>(primitive: B::FloatTensorPrimitive) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// A primitive from row-major values.
fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The values of a contiguous f32 tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor
        .as_slice()
        .expect("made contiguous and checked to be f32 before")
}

/// A buffer of which threads write disjoint parts.
#[derive(Clone, Copy)]
struct Shared<'a> {
    start: *mut f32,
    length: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: `slice` demands that parts do not overlap.
unsafe impl Send for Shared<'_> {}
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    fn new(buffer: &'a mut [f32]) -> Self {
        Self {
            start: buffer.as_mut_ptr(),
            length: buffer.len(),
            owner: PhantomData,
        }
    }

    /// # Safety
    ///
    /// No other live slice may overlap this one.
    unsafe fn slice(self, from: usize, length: usize) -> &'a mut [f32] {
        assert!(from + length <= self.length, "a part of the buffer");
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), length) }
    }
}
