//! SwiGLU, GeGLU and GELU, forward and backward, in one pass each.

use rayon::prelude::*;

use crate::ops::Activation;
use crate::ops::flex::lanes::{Lanes, Plain, dispatch};

/// Rows in a work item.
const ROWS: usize = 16;

/// Values in a work item, where rows do not matter.
const CHUNK: usize = 1 << 14;

/// The activation of rows that come out `inner` wide.
pub(super) fn forward(x: &[f32], inner: usize, kind: Activation) -> Vec<f32> {
    if kind.gated() {
        let mut out = vec![0.0; x.len() / 2];
        out.par_chunks_mut(ROWS * inner)
            .zip(x.par_chunks(ROWS * 2 * inner))
            .for_each(|(out, x)| forward_rows(x, inner, kind, out));
        return out;
    }
    let mut out = vec![0.0; x.len()];
    let tanh = kind == Activation::GeluTanh;
    out.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(out, x)| gelu_chunk(x, None, tanh, out));
    out
}

/// Gradient of `x` from that of [`forward`]'s output.
pub(super) fn backward(x: &[f32], grad: &[f32], inner: usize, kind: Activation) -> Vec<f32> {
    let mut result = vec![0.0; x.len()];
    if kind.gated() {
        result
            .par_chunks_mut(ROWS * 2 * inner)
            .zip(x.par_chunks(ROWS * 2 * inner))
            .zip(grad.par_chunks(ROWS * inner))
            .for_each(|((result, x), grad)| backward_rows(x, grad, inner, kind, result));
        return result;
    }
    let tanh = kind == Activation::GeluTanh;
    result
        .par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .zip(grad.par_chunks(CHUNK))
        .for_each(|((result, x), grad)| gelu_chunk(x, Some(grad), tanh, result));
    result
}

dispatch!(fn forward_rows = forward_body(
    x: &[f32], inner: usize, kind: Activation, out: &mut [f32]));
dispatch!(fn backward_rows = backward_body(
    x: &[f32], grad: &[f32], inner: usize, kind: Activation, result: &mut [f32]));

dispatch!(
    /// GELU of `x`; with `grad`, the gradient of `x` instead.
    fn gelu_chunk = gelu_body(x: &[f32], grad: Option<&[f32]>, tanh: bool, out: &mut [f32]));

#[inline(always)]
unsafe fn gelu_body<L: Lanes>(x: &[f32], grad: Option<&[f32]>, tanh: bool, out: &mut [f32]) {
    // SAFETY: the slices are equally long, and a span stays within them.
    unsafe {
        let done = gelu_span::<L>(x, grad, tanh, 0, out);
        gelu_span::<Plain<1>>(x, grad, tanh, done, out);
    }
}

#[inline(always)]
unsafe fn gelu_span<L: Lanes>(
    x: &[f32],
    grad: Option<&[f32]>,
    tanh: bool,
    mut at: usize,
    out: &mut [f32],
) -> usize {
    while at + L::N <= x.len() {
        unsafe {
            let x = L::load(x.as_ptr().add(at));
            // Both forms are `x * share(x)`.
            let (share, slope) = if tanh { tanh_share(x) } else { normal_share(x) };
            let value = match grad {
                None => x.mul(share),
                Some(grad) => L::load(grad.as_ptr().add(at)).mul(x.fma(slope, share)),
            };
            value.store(out.as_mut_ptr().add(at));
        }
        at += L::N;
    }
    at
}

/// `(1 + tanh(u)) / 2` with `u = sqrt(2 / pi) * (x + 0.044715 x^3)`, and its derivative.
#[inline(always)]
unsafe fn tanh_share<L: Lanes>(x: L) -> (L, L) {
    unsafe {
        let (one, scale) = (L::splat(1.0), L::splat(0.797_884_6));
        let squared = x.mul(x);
        let u = x.mul(scale).mul(squared.fma(L::splat(0.044_715), one));
        let share = sigmoid(u.add(u));
        // (1 + tanh u) / 2 is sigmoid(2 u), whose derivative is 2 s (1 - s) du.
        let du = squared.fma(L::splat(3.0 * 0.044_715), one).mul(scale);
        let slope = share.mul(one.sub(share)).mul(du.add(du));
        (share, slope)
    }
}

/// The normal distribution's function by Abramowitz and Stegun's 7.1.26 (within 1e-7), and its
/// density.
#[inline(always)]
unsafe fn normal_share<L: Lanes>(x: L) -> (L, L) {
    unsafe {
        let (zero, one) = (L::splat(0.0), L::splat(1.0));
        let size = x
            .max(zero.sub(x))
            .mul(L::splat(std::f32::consts::FRAC_1_SQRT_2));
        let t = one.div(size.fma(L::splat(0.327_591_1), one));
        let p = t.fma(L::splat(1.061_405_4), L::splat(-1.453_152));
        let p = p.fma(t, L::splat(1.421_413_7));
        let p = p.fma(t, L::splat(-0.284_496_74));
        let p = p.fma(t, L::splat(0.254_829_6)).mul(t);
        let bell = zero.sub(size.mul(size)).exp();
        let tail = p.mul(bell).mul(L::splat(0.5));
        let share = x.where_gt(zero, one.sub(tail), tail);
        (share, bell.mul(L::splat(0.398_942_3)))
    }
}

#[inline(always)]
unsafe fn sigmoid<L: Lanes>(x: L) -> L {
    unsafe {
        let one = L::splat(1.0);
        one.div(one.add(L::splat(0.0).sub(x).exp()))
    }
}

/// What a gate becomes, and the derivative of that.
#[inline(always)]
unsafe fn opening<L: Lanes>(gate: L, kind: Activation) -> (L, L) {
    unsafe {
        let (share, slope) = match kind {
            Activation::GeGluTanh => tanh_share(gate),
            Activation::GeGlu => normal_share(gate),
            _ => {
                let open = sigmoid(gate);
                let silu = gate.mul(open);
                // d silu = sigmoid + silu * (1 - sigmoid)
                return (silu, silu.fma(L::splat(1.0).sub(open), open));
            }
        };
        (gate.mul(share), gate.fma(slope, share))
    }
}

#[inline(always)]
unsafe fn forward_body<L: Lanes>(x: &[f32], inner: usize, kind: Activation, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(2 * inner).zip(out.chunks_exact_mut(inner)) {
        // SAFETY: a span reads and writes within its row.
        unsafe {
            let done = forward_span::<L>(x, inner, kind, 0, out);
            forward_span::<Plain<1>>(x, inner, kind, done, out);
        }
    }
}

#[inline(always)]
unsafe fn forward_span<L: Lanes>(
    x: &[f32],
    inner: usize,
    kind: Activation,
    mut at: usize,
    out: &mut [f32],
) -> usize {
    while at + L::N <= inner {
        unsafe {
            let gate = L::load(x.as_ptr().add(at));
            let up = L::load(x.as_ptr().add(inner + at));
            opening(gate, kind)
                .0
                .mul(up)
                .store(out.as_mut_ptr().add(at));
        }
        at += L::N;
    }
    at
}

#[inline(always)]
unsafe fn backward_body<L: Lanes>(
    x: &[f32],
    grad: &[f32],
    inner: usize,
    kind: Activation,
    result: &mut [f32],
) {
    for ((x, grad), result) in x
        .chunks_exact(2 * inner)
        .zip(grad.chunks_exact(inner))
        .zip(result.chunks_exact_mut(2 * inner))
    {
        // SAFETY: a span reads and writes within its row.
        unsafe {
            let done = backward_span::<L>(x, grad, inner, kind, 0, result);
            backward_span::<Plain<1>>(x, grad, inner, kind, done, result);
        }
    }
}

#[inline(always)]
unsafe fn backward_span<L: Lanes>(
    x: &[f32],
    grad: &[f32],
    inner: usize,
    kind: Activation,
    mut at: usize,
    result: &mut [f32],
) -> usize {
    while at + L::N <= inner {
        unsafe {
            let gate = L::load(x.as_ptr().add(at));
            let up = L::load(x.as_ptr().add(inner + at));
            let grad = L::load(grad.as_ptr().add(at));
            let (value, slope) = opening(gate, kind);
            grad.mul(up).mul(slope).store(result.as_mut_ptr().add(at));
            grad.mul(value).store(result.as_mut_ptr().add(inner + at));
        }
        at += L::N;
    }
    at
}
