//! Entropy of the distribution over the vocabulary, without keeping it.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, backend::Backend};

use crate::ops::logps::{chunks, joined, logits, logits_backward};
use crate::ops::record::{Tracked, raw, record, wrap};

/// The default body of [`Ops::entropy`](crate::ops::Ops::entropy): a chunk of rows at a time.
pub fn entropy<B: Backend>(
    hidden: Tensor<B, 2>,
    head: Tensor<B, 2>,
    cap: Option<f32>,
) -> Tensor<B, 1> {
    let device = hidden.device();
    let parts = chunks(&hidden, &head).map(|(rows, _)| {
        let logps = log_softmax(logits(rows, &head, cap), 1);
        of_logps(logps).squeeze_dim(1)
    });
    joined(parts.collect(), &device)
}

/// [`entropy`] with a gradient: backward computes each chunk's logits again.
pub fn tracked_entropy<B: Backend, C: CheckpointStrategy>(
    hidden: Tracked<B, C, 2>,
    head: Tracked<B, C, 2>,
    cap: Option<f32>,
) -> Tracked<B, C, 1> {
    let inputs = [raw(hidden), raw(head)];
    let [hidden, head] = [&inputs[0], &inputs[1]].map(|x| wrap::<B, 2>(x.primitive.clone()));
    let out = entropy(hidden.clone(), head.clone(), cap);
    let state = (hidden, head, cap);
    record::<B, C, _, 2, 1>(inputs, state, raw(out), |state, grad, needed| {
        let grad = wrap::<B, 1>(grad);
        let slope = |logits, at: std::ops::Range<usize>| {
            // A logit's gradient is -grad * p * (log p + H).
            let logps = log_softmax(logits, 1);
            let grad = grad.clone().narrow(0, at.start, at.len());
            let grad = grad.neg().reshape([at.len(), 1]);
            let shifted = logps.clone() + of_logps(logps.clone());
            logps.exp().mul(shifted).mul(grad)
        };
        let found = logits_backward(state, needed, slope);
        found.map(|gradient| gradient.map(raw))
    })
}

/// `[rows, vocabulary]` to `[rows, 1]`.
fn of_logps<B: Backend>(logps: Tensor<B, 2>) -> Tensor<B, 2> {
    logps.clone().exp().mul(logps).sum_dim(1).neg()
}
