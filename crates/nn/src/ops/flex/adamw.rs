//! AdamW in place: one pass over a parameter, its gradient and its moments.

use rayon::prelude::*;

use crate::ops::AdamWStep;
use crate::ops::flex::lanes::{Lanes, Plain, dispatch};

/// Values in a work item; fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 1 << 15;

/// Moves `value` and its moments by one step.
pub(super) fn step(
    value: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    step: &AdamWStep,
) {
    value
        .par_chunks_mut(CHUNK)
        .zip(first.par_chunks_mut(CHUNK))
        .zip(second.par_chunks_mut(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|(((value, first), second), gradient)| {
            step_chunk(value, first, second, gradient, step)
        });
}

/// Sum of squares.
pub(super) fn square_sum(values: &[f32]) -> f32 {
    let parts: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut sum = 0.0;
            square_chunk(chunk, &mut sum);
            sum
        })
        .collect();
    parts.iter().sum::<f64>() as f32
}

dispatch!(fn step_chunk = step_body(
    value: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], step: &AdamWStep));
dispatch!(fn square_chunk = square_body(values: &[f32], sum: &mut f64));

#[inline(always)]
unsafe fn step_body<L: Lanes>(
    value: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    step: &AdamWStep,
) {
    // SAFETY: the four slices are equally long, and a span stays within them.
    unsafe {
        let done = step_span::<L>(value, first, second, gradient, step, 0);
        step_span::<Plain<1>>(value, first, second, gradient, step, done);
    }
}

#[inline(always)]
unsafe fn step_span<L: Lanes>(
    value: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    step: &AdamWStep,
    mut at: usize,
) -> usize {
    unsafe {
        let splat = |x: f64| L::splat(x as f32);
        let (beta1, beta2) = (splat(step.beta1), splat(step.beta2));
        let (rest1, rest2) = (splat(1.0 - step.beta1), splat(1.0 - step.beta2));
        let (clip, keep, epsilon) = (splat(step.clip), splat(step.keep), splat(step.epsilon));
        let (rate, scale) = (splat(step.rate), splat(step.second_scale));
        while at + L::N <= value.len() {
            let gradient = L::load(gradient.as_ptr().add(at)).mul(clip);
            let m = L::load(first.as_ptr().add(at)).mul(beta1);
            let m = gradient.fma(rest1, m);
            let v = L::load(second.as_ptr().add(at)).mul(beta2);
            let v = gradient.mul(gradient).fma(rest2, v);
            let change = m.div(v.sqrt().div(scale).add(epsilon)).mul(rate);
            m.store(first.as_mut_ptr().add(at));
            v.store(second.as_mut_ptr().add(at));
            let value = value.as_mut_ptr().add(at);
            L::load(value).mul(keep).sub(change).store(value);
            at += L::N;
        }
        at
    }
}

/// Values summed in f32 before they join a sum in f64.
const BLOCK: usize = 1 << 10;

#[inline(always)]
unsafe fn square_body<L: Lanes>(values: &[f32], sum: &mut f64) {
    for block in values.chunks(BLOCK) {
        let whole = block.len() / L::N * L::N;
        // SAFETY: every access is below `whole`.
        unsafe {
            let mut squares = L::splat(0.0);
            for at in (0..whole).step_by(L::N) {
                let value = L::load(block.as_ptr().add(at));
                squares = value.fma(value, squares);
            }
            let rest: f32 = block[whole..].iter().map(|v| v * v).sum();
            *sum += f64::from(squares.sum() + rest);
        }
    }
}
