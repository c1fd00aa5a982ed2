//! Kernels for the Flex backend: SIMD, threads, and backward by hand.

mod activation;
mod adamw;
mod attention;
mod cache;
mod cap;
mod embed;
mod host;
mod lanes;
mod logps;
mod lora;
mod norm;
mod product;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::tensor::{DType, FloatDType, Tensor};
use burn_flex::{Flex, FlexTensor};

use crate::ops::flex::host::{like, plain, tensor, values, widened};
use crate::ops::flex::product::Matrix;
use crate::ops::record::{Tracked, raw, record, wrap};
use crate::ops::{
    Activation, AdamWStep, CacheView, Fixed, LayerCache, LowRank, Moved, Ops, TreeView,
};

impl Ops for Flex {
    const LOGITS_CHUNK: usize = logps::CHUNK;

    fn tree_attention(qkv: Tensor<Self, 3>, view: &Arc<TreeView>) -> Tensor<Self, 3> {
        let Some([qkv]) = plain([raw(qkv.clone())]) else {
            let dtype = FloatDType::from(qkv.dtype());
            return Self::tree_attention(qkv.cast(FloatDType::F32), view).cast(dtype);
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
            let dtype = FloatDType::from(qkv.dtype());
            return Self::tracked_tree_attention(qkv.cast(FloatDType::F32), view).cast(dtype);
        };
        let (out, lse) = attention::forward(values(&qkv), view);
        let out = tensor(out, [view.rows, view.width, view.heads * view.head_dim]);
        let state = (qkv, out.clone(), Arc::new(lse), view.clone());
        record(inputs, state, out, |(qkv, out, lse, view), grad, _| {
            let result = attention::backward(
                values(&qkv),
                values(&out),
                &lse,
                values(&grad.to_contiguous()),
                &view,
            );
            [Some(like(&qkv, result))]
        })
    }

    fn cache_zeros(shape: [usize; 3], dtype: DType, device: &Self::Device) -> Tensor<Self, 3> {
        // Pages that the system clears when they are first written to, so that room that is never
        // used costs nothing; Flex's own zeros are copied once more. bf16 is kept in f32, which the
        // kernels read.
        match dtype {
            DType::F32 | DType::BF16 => wrap(tensor(vec![0.0; shape.iter().product()], shape)),
            _ => Tensor::zeros(shape, (device, dtype)),
        }
    }

    fn cache_write(
        layer: LayerCache<Self>,
        qkv: Tensor<Self, 3>,
        view: &CacheView<'_>,
    ) -> LayerCache<Self> {
        let qkv = widened(qkv);
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
        let qkv = widened(qkv);
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

    fn logits(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        cap: Option<f32>,
        into: &mut Vec<f32>,
    ) {
        match plain([raw(hidden.clone()), raw(head.clone())]) {
            Some([hidden, head]) => logps::all_logits(&hidden, &head, cap, into),
            None => super::logps::all_logits(hidden, head, cap, into),
        }
    }

    fn token_logps(
        hidden: Tensor<Self, 2>,
        head: Tensor<Self, 2>,
        targets: &[u32],
        cap: Option<f32>,
    ) -> Tensor<Self, 1> {
        let Some([hidden, head]) = plain([raw(hidden.clone()), raw(head.clone())]) else {
            let [hidden, head] = [hidden, head].map(|x| x.cast(FloatDType::F32));
            return Self::token_logps(hidden, head, targets, cap);
        };
        wrap(tensor(
            logps::forward(&hidden, &head, targets, cap).0,
            [targets.len()],
        ))
    }

    fn tracked_token_logps<C: CheckpointStrategy>(
        hidden: Tracked<Self, C, 2>,
        head: Tracked<Self, C, 2>,
        targets: &[u32],
        cap: Option<f32>,
    ) -> Tracked<Self, C, 1> {
        let inputs = [raw(hidden.clone()), raw(head.clone())];
        let Some([hidden, head]) = plain(inputs.clone().map(|x| x.primitive)) else {
            let [hidden, head] = [hidden, head].map(|x| x.cast(FloatDType::F32));
            return Self::tracked_token_logps(hidden, head, targets, cap);
        };
        let (logps, kept) = logps::forward(&hidden, &head, targets, cap);
        let out = tensor(logps, [targets.len()]);
        let state = (hidden, head, Arc::new((targets.to_vec(), kept)), cap);
        record(
            inputs,
            state,
            out,
            |(hidden, head, kept, cap), grad, needed| {
                let (targets, weights) = &*kept;
                let grad = grad.to_contiguous();
                let scored = (&**targets, values(&grad));
                match cap {
                    None => logps::backward([&hidden, &head], scored, weights.as_ref(), needed),
                    Some(cap) => logps::capped_backward([&hidden, &head], scored, cap, needed),
                }
            },
        )
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
                         grad: FlexTensor,
                         _: [bool; 3]| {
            let [on_x, on_weight, on_bias] = norm::backward(
                values(&x),
                values(&weight),
                values(&grad.to_contiguous()),
                centred,
                eps,
            );
            [
                Some(like(&x, on_x)),
                Some(like(&weight, on_weight)),
                Some(like(&weight, on_bias)),
            ]
        };
        let [first, second] = shared;
        match bias {
            Some(_) => record([first, second, biases], state, out, gradients),
            None => record([first, second], state, out, |state, grad, _| {
                let (x, weight, centred, eps) = state;
                let [on_x, on_weight, _] = norm::backward(
                    values(&x),
                    values(&weight),
                    values(&grad.to_contiguous()),
                    centred,
                    eps,
                );
                [Some(like(&x, on_x)), Some(like(&weight, on_weight))]
            }),
        }
    }

    // Flex's own matmul copies its output once.
    fn project(x: Tensor<Self, 2>, weight: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let ([tokens, size], [_, out]) = (x.dims(), weight.dims());
        let Some([x, weight]) = plain([raw(x.clone()), raw(weight.clone())]) else {
            return x.matmul(weight);
        };
        let product = Matrix::rows(values(&x), size).times(Matrix::rows(values(&weight), out));
        wrap(tensor(product, [tokens, out]))
    }

    fn tracked_project<C: CheckpointStrategy>(
        x: Tracked<Self, C, 2>,
        weight: Tracked<Self, C, 2>,
    ) -> Tracked<Self, C, 2> {
        let inputs = [raw(x.clone()), raw(weight.clone())];
        let Some(plain) = plain(inputs.clone().map(|x| x.primitive)) else {
            return x.matmul(weight);
        };
        let out = Self::project(wrap(plain[0].clone()), wrap(plain[1].clone()));
        record(inputs, plain, raw(out), |[x, weight], grad, needed| {
            let grad = grad.to_contiguous();
            let out = weight.layout().shape()[1];
            let size = weight.layout().shape()[0];
            let slope = Matrix::rows(values(&grad), out);
            let on_x = || slope.times(Matrix::rows(values(&weight), out).transposed());
            let on_weight = || Matrix::rows(values(&x), size).transposed().times(slope);
            [
                needed[0].then(|| like(&x, on_x())),
                needed[1].then(|| like(&weight, on_weight())),
            ]
        })
    }

    fn adapted(
        x: Tensor<Self, 2>,
        weight: &Fixed<Self>,
        adapters: Vec<LowRank<Self>>,
    ) -> Tensor<Self, 2> {
        lora::plain_adapted(x, weight, adapters)
    }

    fn tracked_adapted<C: CheckpointStrategy>(
        x: Tracked<Self, C, 2>,
        weight: &Fixed<Autodiff<Self, C>>,
        adapters: Vec<LowRank<Autodiff<Self, C>>>,
    ) -> Tracked<Self, C, 2> {
        match adapters.len() {
            0 => lora::adapted::<C, 1>(x, weight, adapters),
            1 => lora::adapted::<C, 3>(x, weight, adapters),
            2 => lora::adapted::<C, 5>(x, weight, adapters),
            3 => lora::adapted::<C, 7>(x, weight, adapters),
            _ => crate::ops::lora::adapted(x, weight, &adapters, Self::tracked_project),
        }
    }

    fn activate(x: Tensor<Self, 3>, kind: Activation) -> Tensor<Self, 3> {
        let Some([plain]) = plain([raw(x.clone())]) else {
            let dtype = FloatDType::from(x.dtype());
            return Self::activate(x.cast(FloatDType::F32), kind).cast(dtype);
        };
        wrap(activated(&plain, x.dims(), kind).0)
    }

    fn tracked_activate<C: CheckpointStrategy>(
        x: Tracked<Self, C, 3>,
        kind: Activation,
    ) -> Tracked<Self, C, 3> {
        let inputs = [raw(x.clone())];
        let Some([plain]) = plain(inputs.clone().map(|x| x.primitive)) else {
            let dtype = FloatDType::from(x.dtype());
            return Self::tracked_activate(x.cast(FloatDType::F32), kind).cast(dtype);
        };
        let (out, inner) = activated(&plain, x.dims(), kind);
        record(
            inputs,
            (plain, inner, kind),
            out,
            |(x, inner, kind), grad, _| {
                let result =
                    activation::backward(values(&x), values(&grad.to_contiguous()), inner, kind);
                [Some(like(&x, result))]
            },
        )
    }

    fn embed(table: Tensor<Self, 2>, ids: &[u32]) -> Tensor<Self, 2> {
        let Some([table]) = plain([raw(table.clone())]) else {
            return super::embed::embed(table, ids);
        };
        wrap(embed::forward(&table, ids))
    }

    fn tracked_embed<C: CheckpointStrategy>(
        table: Tracked<Self, C, 2>,
        ids: &[u32],
    ) -> Tracked<Self, C, 2> {
        let input = raw(table.clone());
        let Some([plain]) = plain([input.primitive.clone()]) else {
            return super::embed::embed(table, ids);
        };
        let out = embed::forward(&plain, ids);
        let step = embed::EmbedBackward.prepare::<C>([input.node.clone()]);
        wrap::<Autodiff<Flex, C>, 2>(match step.compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((input, Arc::from(ids)), out),
            OpsKind::UnTracked(step) => step.finish(out),
        })
    }

    fn adamw(moved: Moved<Self>, gradient: Tensor<Self, 1>, step: &AdamWStep) -> Moved<Self> {
        if moved.value.dtype() != DType::F32 || gradient.dtype() != DType::F32 {
            return super::adamw::adamw(moved, gradient, step);
        }
        // Nothing else may hold these buffers, or they would be copied before they are written.
        let [mut value, mut first, mut second] =
            [moved.value, moved.first, moved.second].map(|tensor| raw(tensor).to_contiguous());
        let gradient = raw(gradient).to_contiguous();
        adamw::step(
            value.storage_mut(),
            first.storage_mut(),
            second.storage_mut(),
            values(&gradient),
            step,
        );
        Moved {
            value: wrap(value),
            first: wrap(first),
            second: wrap(second),
        }
    }

    fn square_sum(input: Tensor<Self, 1>) -> Tensor<Self, 1> {
        let Some([plain]) = plain([raw(input.clone())]) else {
            return input.square().sum();
        };
        wrap(tensor(vec![adamw::square_sum(values(&plain))], [1]))
    }
}

/// The activation of a contiguous tensor, and how wide it comes out.
fn activated(
    x: &FlexTensor,
    [rows, width, size]: [usize; 3],
    kind: Activation,
) -> (FlexTensor, usize) {
    let inner = if kind.gated() { size / 2 } else { size };
    let out = activation::forward(values(x), inner, kind);
    (tensor(out, [rows, width, inner]), inner)
}
