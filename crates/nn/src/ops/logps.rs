//! Log-probabilities of scored tokens, and their sums by branch.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, backend::Backend};

use crate::ops::attention::softened;
use crate::ops::record::{Tracked, raw, record, wrap};

/// Logits that exist at a time on a backend without kernels of its own: 256 MiB in f32.
pub const DEFAULT_LOGITS_CHUNK: usize = 1 << 26;

/// The default body of [`Ops::token_logps`](crate::ops::Ops::token_logps): a chunk of rows at a time.
pub fn token_logps<B: Backend>(
    hidden: Tensor<B, 2>,
    head: Tensor<B, 2>,
    targets: &[u32],
    cap: Option<f32>,
) -> Tensor<B, 1> {
    let device = hidden.device();
    let parts: Vec<Tensor<B, 1>> = chunks(&hidden, &head)
        .map(|(rows, at)| {
            let targets = column(&targets[at], &device);
            log_softmax(logits(rows, &head, cap), 1)
                .gather(1, targets)
                .squeeze_dim(1)
        })
        .collect();
    joined(parts, &device)
}

/// The chunks' values one after the other.
pub(super) fn joined<B: Backend>(parts: Vec<Tensor<B, 1>>, device: &B::Device) -> Tensor<B, 1> {
    match parts.is_empty() {
        true => Tensor::zeros([0], (device, burn::tensor::DType::F32)),
        false => Tensor::cat(parts, 0),
    }
}

/// [`token_logps`] with a gradient: backward computes each chunk's logits again.
pub fn tracked_token_logps<B: Backend, C: CheckpointStrategy>(
    hidden: Tracked<B, C, 2>,
    head: Tracked<B, C, 2>,
    targets: &[u32],
    cap: Option<f32>,
) -> Tracked<B, C, 1> {
    let inputs = [raw(hidden), raw(head)];
    let [hidden, head] = [&inputs[0], &inputs[1]].map(|x| wrap::<B, 2>(x.primitive.clone()));
    let out = token_logps(hidden.clone(), head.clone(), targets, cap);
    let state = (hidden, head, Arc::<[u32]>::from(targets), cap);
    record::<B, C, _, 2, 1>(inputs, state, raw(out), |state, grad, needed| {
        let (hidden, head, targets, cap) = state;
        let found = backward((hidden, head), (&targets, cap), wrap(grad), needed);
        found.map(|gradient| gradient.map(raw))
    })
}

/// Gradients of `hidden` and `head` from that of the log-probs, `[scored]`; of those that need one.
fn backward<B: Backend>(
    (hidden, head): (Tensor<B, 2>, Tensor<B, 2>),
    (targets, cap): (&[u32], Option<f32>),
    grad: Tensor<B, 1>,
    needed: [bool; 2],
) -> [Option<Tensor<B, 2>>; 2] {
    let device = hidden.device();
    logits_backward((hidden, head, cap), needed, |logits, at| {
        let grad = grad.clone().narrow(0, at.start, at.len());
        let grad = grad.reshape([at.len(), 1]);
        // A logit's gradient is grad * (is target - probability).
        let slope = softmax(logits, 1).mul(grad.clone().neg());
        slope.scatter(
            1,
            column(&targets[at], &device),
            grad,
            IndexingUpdateOp::Add,
        )
    })
}

/// Gradients of `hidden` and `head` from those of the logits, which `slope` gives for the logits of some rows,
/// `[rows, vocabulary]`, capped where there is a cap: a chunk at a time, and of those that need one.
pub(super) fn logits_backward<B: Backend>(
    (hidden, head, cap): (Tensor<B, 2>, Tensor<B, 2>, Option<f32>),
    [of_hidden, of_head]: [bool; 2],
    slope: impl Fn(Tensor<B, 2>, Range<usize>) -> Tensor<B, 2>,
) -> [Option<Tensor<B, 2>>; 2] {
    let compute = FloatDType::from(hidden.dtype());
    let mut on_head = of_head.then(|| head.zeros_like().cast(FloatDType::F32));
    let mut on_hidden = Vec::new();
    for (rows, at) in chunks(&hidden, &head) {
        let logits = logits(rows.clone(), &head, cap);
        let slope = match cap {
            None => slope(logits, at),
            // What is left of tanh's slope.
            Some(cap) => {
                let left = logits
                    .clone()
                    .div_scalar(cap)
                    .square()
                    .neg()
                    .add_scalar(1.0);
                slope(logits, at).mul(left)
            }
        };
        let slope = slope.cast(compute);
        if of_hidden {
            on_hidden.push(slope.clone().matmul(head.clone()));
        }
        on_head = on_head.map(|total| total + slope.transpose().matmul(rows).cast(FloatDType::F32));
    }
    let on_hidden = of_hidden.then(|| match on_hidden.is_empty() {
        true => hidden.zeros_like(),
        false => Tensor::cat(on_hidden, 0),
    });
    let dtype = FloatDType::from(head.dtype());
    [on_hidden, on_head.map(|total| total.cast(dtype))]
}

/// Rows of `hidden` whose logits fit a chunk, and which they are.
pub(super) fn chunks<B: Backend>(
    hidden: &Tensor<B, 2>,
    head: &Tensor<B, 2>,
) -> impl Iterator<Item = (Tensor<B, 2>, Range<usize>)> {
    let (count, rows) = (
        hidden.dims()[0],
        (DEFAULT_LOGITS_CHUNK / head.dims()[0]).max(1),
    );
    (0..count).step_by(rows).map(move |start| {
        let at = start..count.min(start + rows);
        (hidden.clone().narrow(0, at.start, at.len()), at)
    })
}

/// Logits in f32, whatever they are multiplied in; with a cap, `cap * tanh(logit / cap)`.
pub(super) fn logits<B: Backend>(
    rows: Tensor<B, 2>,
    head: &Tensor<B, 2>,
    cap: Option<f32>,
) -> Tensor<B, 2> {
    let logits = rows.matmul(head.clone().transpose()).cast(FloatDType::F32);
    softened(logits, cap)
}

/// Token ids as a column, `[targets, 1]`.
fn column<B: Backend>(targets: &[u32], device: &B::Device) -> Tensor<B, 2, Int> {
    let ids: Vec<i32> = targets.iter().map(|&t| t as i32).collect();
    Tensor::from_data(TensorData::new(ids, [targets.len(), 1]), device)
}

/// Sums `logps` by branch.
///
/// # Shapes
///
/// - `logps`: `[scored]`, `branch`: `[scored]` with values below `branches`
/// - output: `[branches]`
pub fn branch_sums<B: Backend>(
    logps: Tensor<B, 1>,
    branch: Tensor<B, 1, Int>,
    branches: usize,
) -> Tensor<B, 1> {
    let device = logps.device();
    Tensor::zeros([branches], &device).select_assign(0, branch, logps, IndexingUpdateOp::Add)
}

/// The default body of [`Ops::logits`](crate::ops::Ops::logits).
pub fn all_logits<B: Backend>(
    hidden: Tensor<B, 2>,
    head: Tensor<B, 2>,
    cap: Option<f32>,
    into: &mut Vec<f32>,
) {
    let logits = logits(hidden, &head, cap).into_data();
    into.clear();
    into.extend(logits.iter::<f32>());
}
