//! SwiGLU, forward and backward, in one pass each.

use rayon::prelude::*;

use crate::ops::flex::lanes::{Lanes, Plain, dispatch};

/// Rows in a work item.
const ROWS: usize = 16;

/// `silu(gate) * up` of rows `[2 * inner]`.
pub(super) fn swiglu(x: &[f32], inner: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / 2];
    out.par_chunks_mut(ROWS * inner)
        .zip(x.par_chunks(ROWS * 2 * inner))
        .for_each(|(out, x)| forward_rows(x, inner, out));
    out
}

/// Gradient of `x` from that of [`swiglu`]'s output.
pub(super) fn swiglu_backward(x: &[f32], grad: &[f32], inner: usize) -> Vec<f32> {
    let mut result = vec![0.0; x.len()];
    result
        .par_chunks_mut(ROWS * 2 * inner)
        .zip(x.par_chunks(ROWS * 2 * inner))
        .zip(grad.par_chunks(ROWS * inner))
        .for_each(|((result, x), grad)| backward_rows(x, grad, inner, result));
    result
}

dispatch!(fn forward_rows = forward_body(x: &[f32], inner: usize, out: &mut [f32]));
dispatch!(fn backward_rows = backward_body(
    x: &[f32], grad: &[f32], inner: usize, result: &mut [f32]));

#[inline(always)]
unsafe fn sigmoid<L: Lanes>(x: L) -> L {
    unsafe {
        let one = L::splat(1.0);
        one.div(one.add(L::splat(0.0).sub(x).exp()))
    }
}

#[inline(always)]
unsafe fn forward_body<L: Lanes>(x: &[f32], inner: usize, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(2 * inner).zip(out.chunks_exact_mut(inner)) {
        // SAFETY: a span reads and writes within its row.
        unsafe {
            let done = forward_span::<L>(x, inner, 0, out);
            forward_span::<Plain<1>>(x, inner, done, out);
        }
    }
}

#[inline(always)]
unsafe fn forward_span<L: Lanes>(x: &[f32], inner: usize, mut at: usize, out: &mut [f32]) -> usize {
    while at + L::N <= inner {
        unsafe {
            let gate = L::load(x.as_ptr().add(at));
            let up = L::load(x.as_ptr().add(inner + at));
            gate.mul(sigmoid(gate))
                .mul(up)
                .store(out.as_mut_ptr().add(at));
        }
        at += L::N;
    }
    at
}

#[inline(always)]
unsafe fn backward_body<L: Lanes>(x: &[f32], grad: &[f32], inner: usize, result: &mut [f32]) {
    for ((x, grad), result) in x
        .chunks_exact(2 * inner)
        .zip(grad.chunks_exact(inner))
        .zip(result.chunks_exact_mut(2 * inner))
    {
        // SAFETY: a span reads and writes within its row.
        unsafe {
            let done = backward_span::<L>(x, grad, inner, 0, result);
            backward_span::<Plain<1>>(x, grad, inner, done, result);
        }
    }
}

#[inline(always)]
unsafe fn backward_span<L: Lanes>(
    x: &[f32],
    grad: &[f32],
    inner: usize,
    mut at: usize,
    result: &mut [f32],
) -> usize {
    while at + L::N <= inner {
        unsafe {
            let gate = L::load(x.as_ptr().add(at));
            let up = L::load(x.as_ptr().add(inner + at));
            let grad = L::load(grad.as_ptr().add(at));
            let open = sigmoid(gate);
            let silu = gate.mul(open);
            // d silu = sigmoid + silu * (1 - sigmoid)
            let slope = silu.fma(L::splat(1.0).sub(open), open);
            grad.mul(up).mul(slope).store(result.as_mut_ptr().add(at));
            grad.mul(silu).store(result.as_mut_ptr().add(inner + at));
        }
        at += L::N;
    }
    at
}
