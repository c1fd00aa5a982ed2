//! Token log-probs fused with the output head: only a chunk of `[tokens, vocabulary]` exists at a
//! time. Backward computes the chunks again, unless there was only one.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::ops::flex::cap::soften;
use crate::ops::flex::host::{tensor, values};
use crate::ops::flex::lanes::{Lanes, dispatch};
use crate::ops::flex::product::{Matrix, add_product, product};

/// Weights of the vocabulary held at a time: 32 MiB.
pub(super) const CHUNK: usize = 1 << 23;

/// Logits in a work item of capping.
const CAPPED: usize = 1 << 14;

/// A chunk's `exp(logit - largest)`, and one over each row's sum.
#[derive(Debug)]
pub(super) struct Weights {
    values: Vec<f32>,
    scale: Vec<f32>,
}

/// Log-prob of each target under the softmax of `hidden @ head^T`, softly capped where there is a cap, and the weights
/// where one chunk holds them all and nothing caps them.
pub(super) fn forward(
    hidden: &FlexTensor,
    head: &FlexTensor,
    targets: &[u32],
    cap: Option<f32>,
) -> (Vec<f32>, Option<Weights>) {
    let [rows, vocabulary] = [rows_at_once(head), head.layout().shape()[0]];
    let mut logps = vec![0.0; targets.len()];
    let mut kept = None;
    for (index, (targets, logps)) in targets.chunks(rows).zip(logps.chunks_mut(rows)).enumerate() {
        let mut values = logits(hidden, head, index * rows, targets.len());
        let mut scale = vec![0.0; targets.len()];
        values
            .par_chunks_mut(vocabulary)
            .zip(targets)
            .zip(logps)
            .zip(&mut scale)
            .for_each(|(((row, &target), logp), scale)| {
                if let Some(cap) = cap {
                    soften(row, cap);
                }
                *logp = row[target as usize];
                weigh_row(row, logp, scale);
            });
        kept = (index == 0 && cap.is_none()).then_some(Weights { values, scale });
    }
    (logps, kept)
}

/// Logits, `[tokens, vocabulary]`, in the place of what `into` held.
pub(super) fn all_logits(
    hidden: &FlexTensor,
    head: &FlexTensor,
    cap: Option<f32>,
    into: &mut Vec<f32>,
) {
    let [tokens, size] = [0, 1].map(|d| hidden.layout().shape()[d]);
    into.resize(tokens * head.layout().shape()[0], 0.0);
    let [hidden, head] = [hidden, head].map(|x| Matrix::rows(values(x), size));
    product(into, hidden, head.transposed());
    if let Some(cap) = cap {
        into.par_chunks_mut(CAPPED)
            .for_each(|values| soften(values, cap));
    }
}

/// Gradients of `hidden` and `head`, of those that need one, from that of each target's log-prob.
pub(super) fn backward(
    [hidden, head]: [&FlexTensor; 2],
    (targets, grad): (&[u32], &[f32]),
    kept: Option<&Weights>,
    [of_hidden, of_head]: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let [vocabulary, size] = [head.layout().shape()[0], head.layout().shape()[1]];
    let rows = rows_at_once(head);
    let (states, table) = (values(hidden), values(head));
    let mut on_hidden = vec![0.0; states.len()];
    let mut on_head = Vec::new();
    let chunks = targets.chunks(rows).zip(grad.chunks(rows));
    for (index, (targets, grad)) in chunks.enumerate() {
        let again;
        let weights = match kept {
            Some(weights) => weights,
            None => {
                again = weigh(hidden, head, index * rows, targets.len());
                &again
            }
        };
        let span = index * rows * size..(index * rows + targets.len()) * size;
        let (states, on_hidden) = (&states[span.clone()], &mut on_hidden[span]);
        // A logit's gradient is grad * (is target - weight * scale). The first term touches one row
        // of the table; the scale goes to the small side of each product.
        let weighed = Matrix::rows(&weights.values, vocabulary);
        if of_hidden {
            product(on_hidden, weighed, Matrix::rows(table, size));
        }
        let mut scaled = vec![0.0; states.len()];
        let factors = grad.iter().zip(&weights.scale).map(|(g, s)| -g * s);
        for (((at, factor), &target), &grad) in
            (0..).step_by(size).zip(factors).zip(targets).zip(grad)
        {
            let row = &table[target as usize * size..][..size];
            for i in 0..size {
                on_hidden[at + i] = on_hidden[at + i] * factor + row[i] * grad;
                scaled[at + i] = states[at + i] * factor;
            }
        }
        if !of_head {
            continue;
        }
        let scaled = Matrix::rows(&scaled, size);
        if on_head.is_empty() {
            on_head = weighed.transposed().times(scaled);
        } else {
            add_product(&mut on_head, weighed.transposed(), scaled);
        }
    }
    let on_hidden = of_hidden.then(|| tensor(on_hidden, [targets.len(), size]));
    if !of_head {
        return [on_hidden, None];
    }
    if on_head.is_empty() {
        on_head = vec![0.0; table.len()];
    }
    for ((&target, &grad), state) in targets.iter().zip(grad).zip(states.chunks_exact(size)) {
        let row = &mut on_head[target as usize * size..][..size];
        for (total, state) in row.iter_mut().zip(state) {
            *total += grad * state;
        }
    }
    [on_hidden, Some(tensor(on_head, [vocabulary, size]))]
}

/// [`backward`] through a soft cap: a logit's slope is no outer product any more, so each is written out.
pub(super) fn capped_backward(
    [hidden, head]: [&FlexTensor; 2],
    (targets, grad): (&[u32], &[f32]),
    cap: f32,
    [of_hidden, of_head]: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let [vocabulary, size] = [head.layout().shape()[0], head.layout().shape()[1]];
    let rows = rows_at_once(head);
    let (states, table) = (values(hidden), values(head));
    let mut on_hidden = vec![0.0; if of_hidden { states.len() } else { 0 }];
    let mut on_head = vec![0.0; if of_head { table.len() } else { 0 }];
    let chunks = targets.chunks(rows).zip(grad.chunks(rows));
    for (index, (targets, grad)) in chunks.enumerate() {
        let mut slopes = logits(hidden, head, index * rows, targets.len());
        slopes
            .par_chunks_mut(vocabulary)
            .zip(targets)
            .zip(grad)
            .for_each(|((row, &target), &grad)| {
                soften(row, cap);
                let mut weights = row.to_vec();
                let mut scale = 0.0;
                weigh_row(&mut weights, &mut 0.0, &mut scale);
                // A logit's gradient is grad * (is target - probability), and that ahead of its cap less by what is
                // left of tanh's slope.
                weights.iter_mut().for_each(|weight| *weight *= -scale);
                weights[target as usize] += 1.0;
                for (value, weight) in row.iter_mut().zip(&weights) {
                    let share = *value / cap;
                    *value = grad * weight * (1.0 - share * share);
                }
            });
        let span = index * rows * size..(index * rows + targets.len()) * size;
        let slopes = Matrix::rows(&slopes, vocabulary);
        if of_hidden {
            product(
                &mut on_hidden[span.clone()],
                slopes,
                Matrix::rows(table, size),
            );
        }
        if of_head {
            let states = Matrix::rows(&states[span], size);
            add_product(&mut on_head, slopes.transposed(), states);
        }
    }
    [
        of_hidden.then(|| tensor(on_hidden, [targets.len(), size])),
        of_head.then(|| tensor(on_head, [vocabulary, size])),
    ]
}

/// Rows whose weights fit a chunk.
fn rows_at_once(head: &FlexTensor) -> usize {
    (CHUNK / head.layout().shape()[0]).max(1)
}

/// Logits of `count` rows from `start` on.
fn logits(hidden: &FlexTensor, head: &FlexTensor, start: usize, count: usize) -> Vec<f32> {
    let size = head.layout().shape()[1];
    let rows = &values(hidden)[start * size..(start + count) * size];
    Matrix::rows(rows, size).times(Matrix::rows(values(head), size).transposed())
}

/// The weights of `count` rows from `start` on.
fn weigh(hidden: &FlexTensor, head: &FlexTensor, start: usize, count: usize) -> Weights {
    let mut values = logits(hidden, head, start, count);
    let mut scale = vec![0.0; count];
    values
        .par_chunks_mut(head.layout().shape()[0])
        .zip(&mut scale)
        .for_each(|(row, scale)| weigh_row(row, &mut 0.0, scale));
    Weights { values, scale }
}

dispatch!(
    /// Replaces logits by `exp(logit - largest)`; `scale` becomes one over their sum, and `logp`,
    /// a logit, its log-prob.
    fn weigh_row = weigh_body(row: &mut [f32], logp: &mut f32, scale: &mut f32));

#[inline(always)]
unsafe fn weigh_body<L: Lanes>(row: &mut [f32], logp: &mut f32, scale: &mut f32) {
    let whole = row.len() / L::N * L::N;
    // SAFETY: every access is below `whole`.
    unsafe {
        let mut largest = L::splat(f32::MIN);
        for at in (0..whole).step_by(L::N) {
            largest = largest.max(L::load(row.as_ptr().add(at)));
        }
        let rest = row[whole..].iter().copied();
        let largest = rest.fold(largest.largest(), f32::max);
        let mut sum = L::splat(0.0);
        for at in (0..whole).step_by(L::N) {
            let at = row.as_mut_ptr().add(at);
            let weight = L::load(at).sub(L::splat(largest)).exp();
            weight.store(at);
            sum = sum.add(weight);
        }
        let mut sum = sum.sum();
        for value in &mut row[whole..] {
            *value = (*value - largest).exp();
            sum += *value;
        }
        *logp -= largest + sum.ln();
        *scale = 1.0 / sum;
    }
}
