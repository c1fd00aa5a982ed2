//! Token log-probs fused with the output head: logits exist only for a chunk of rows at a time, and
//! are computed again in backward.

use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use crate::ops::flex::lanes::{Lanes, dispatch};
use crate::ops::flex::{Shared, tensor, values, wrap};

/// Logits held at a time: 64 MiB.
const LOGITS: usize = 1 << 24;

/// Multiplications in a product that Flex keeps on one thread: fewer than 192 cubed.
const ONE_THREAD: usize = 192 * 192 * 191;

/// Logits, `[tokens, vocabulary]`: each thread takes blocks of the vocabulary, whose products stay
/// in its cache until they are copied to their place.
pub(super) fn logits(hidden: &FlexTensor, head: &FlexTensor, into: &mut Vec<f32>) {
    let [tokens, size] = [0, 1].map(|d| hidden.layout().shape()[d]);
    let vocabulary = head.layout().shape()[0];
    into.resize(tokens * vocabulary, 0.0);
    let block = (ONE_THREAD / (tokens * size).max(1)).clamp(64, 1024);
    let shared = Shared::new(into);
    let hidden: Tensor<Flex, 2> = wrap(hidden.clone());
    let head: Tensor<Flex, 2> = wrap(head.clone());
    (0..vocabulary.div_ceil(block))
        .into_par_iter()
        .for_each(|index| {
            let first = index * block;
            let count = block.min(vocabulary - first);
            let part = head.clone().narrow(0, first, count).transpose();
            let part = hidden.clone().matmul(part).into_primitive().tensor();
            for (token, part) in values(&part).chunks_exact(count).enumerate() {
                // SAFETY: blocks do not overlap.
                let to = unsafe { shared.slice(token * vocabulary + first, count) };
                to.copy_from_slice(part);
            }
        });
}

/// Log-prob of each target under `softmax(hidden @ head^T)`.
pub(super) fn forward(hidden: &FlexTensor, head: &FlexTensor, targets: &[u32]) -> Vec<f32> {
    let mut logps = vec![0.0; targets.len()];
    for_chunks(hidden, head, targets, |start, mut logits, targets| {
        let vocabulary = logits.layout().shape()[1];
        logits
            .storage_mut::<f32>()
            .par_chunks_mut(vocabulary)
            .zip(targets)
            .zip(&mut logps[start..start + targets.len()])
            .for_each(|((row, &target), logp)| softmax_row(row, target as usize, None, logp));
    });
    logps
}

/// Gradients of `hidden` and `head`.
pub(super) fn backward(
    hidden: &FlexTensor,
    head: &FlexTensor,
    targets: &[u32],
    grad: &[f32],
) -> [FlexTensor; 2] {
    let mut grad_hidden = Vec::new();
    let mut grad_head: Option<Tensor<Flex, 2>> = None;
    for_chunks(hidden, head, targets, |start, mut logits, targets| {
        let vocabulary = logits.layout().shape()[1];
        logits
            .storage_mut::<f32>()
            .par_chunks_mut(vocabulary)
            .zip(targets)
            .zip(&grad[start..start + targets.len()])
            .for_each(|((row, &target), &grad)| {
                softmax_row(row, target as usize, Some(grad), &mut 0.0)
            });
        let logits: Tensor<Flex, 2> = wrap(logits);
        let rows: Tensor<Flex, 2> = wrap(hidden.clone());
        let rows = rows.narrow(0, start, targets.len());
        let part = logits.clone().transpose().matmul(rows);
        grad_head = Some(match grad_head.take() {
            Some(sum) => sum + part,
            None => part,
        });
        let part = logits.matmul(wrap(head.clone())).into_primitive().tensor();
        grad_hidden.extend_from_slice(values(&part));
    });
    let size = head.layout().shape()[1];
    let grad_head = match grad_head {
        Some(sum) => sum.into_primitive().tensor(),
        None => FlexTensor::zeros(head.layout().shape().clone(), head.dtype()),
    };
    [tensor(grad_hidden, [targets.len(), size]), grad_head]
}

/// Calls `f` with the first row, the logits and the targets of each chunk.
fn for_chunks(
    hidden: &FlexTensor,
    head: &FlexTensor,
    targets: &[u32],
    mut f: impl FnMut(usize, FlexTensor, &[u32]),
) {
    let turned: Tensor<Flex, 2> = wrap::<Flex, 2>(head.clone()).transpose();
    let rows = (LOGITS / head.layout().shape()[0]).max(1);
    for (index, targets) in targets.chunks(rows).enumerate() {
        let start = index * rows;
        let chunk = wrap::<Flex, 2>(hidden.clone()).narrow(0, start, targets.len());
        f(
            start,
            chunk.matmul(turned.clone()).into_primitive().tensor(),
            targets,
        );
    }
}

dispatch!(
    /// Without `grad`, the target's log-prob goes to `logp`; with it, the logits are replaced by
    /// their gradient.
    fn softmax_row = softmax_body(
        row: &mut [f32], target: usize, grad: Option<f32>, logp: &mut f32));

#[inline(always)]
unsafe fn softmax_body<L: Lanes>(
    row: &mut [f32],
    target: usize,
    grad: Option<f32>,
    logp: &mut f32,
) {
    let whole = row.len() / L::N * L::N;
    // SAFETY: every access is below `whole`.
    unsafe {
        let mut largest = L::splat(f32::MIN);
        for at in (0..whole).step_by(L::N) {
            largest = largest.max(L::load(row.as_ptr().add(at)));
        }
        let largest = row[whole..]
            .iter()
            .copied()
            .fold(largest.largest(), f32::max);
        let mut sum = L::splat(0.0);
        for at in (0..whole).step_by(L::N) {
            let at = row.as_mut_ptr().add(at);
            let weight = L::load(at).sub(L::splat(largest)).exp();
            if grad.is_some() {
                weight.store(at);
            }
            sum = sum.add(weight);
        }
        let mut sum = sum.sum();
        for value in &mut row[whole..] {
            let weight = (*value - largest).exp();
            if grad.is_some() {
                *value = weight;
            }
            sum += weight;
        }
        match grad {
            None => *logp = row[target] - largest - sum.ln(),
            Some(grad) => {
                let scale = -grad / sum;
                for at in (0..whole).step_by(L::N) {
                    let at = row.as_mut_ptr().add(at);
                    L::load(at).mul(L::splat(scale)).store(at);
                }
                row[whole..].iter_mut().for_each(|value| *value *= scale);
                row[target] += grad;
            }
        }
    }
}
