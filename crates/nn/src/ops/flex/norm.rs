//! RMSNorm and LayerNorm, forward and backward; statistics are recomputed rather than kept.

use rayon::prelude::*;

use crate::ops::flex::lanes::{Lanes, Plain, dispatch};

/// Rows in a work item; fixed, so that sums over rows do not depend on the number of threads.
const ROWS: usize = 64;

/// Normalised rows; LayerNorm where there is a bias, else RMSNorm.
pub(super) fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    let size = weight.len();
    out.par_chunks_mut(ROWS * size)
        .zip(x.par_chunks(ROWS * size))
        .for_each(|(out, x)| forward_rows(x, weight, bias, eps, out));
    out
}

/// Gradients of `x`, `weight` and `bias`.
pub(super) fn backward(
    x: &[f32],
    weight: &[f32],
    grad: &[f32],
    centred: bool,
    eps: f32,
) -> [Vec<f32>; 3] {
    let size = weight.len();
    let mut result = vec![0.0; x.len()];
    let sums: Vec<[Vec<f32>; 2]> = result
        .par_chunks_mut(ROWS * size)
        .zip(x.par_chunks(ROWS * size))
        .zip(grad.par_chunks(ROWS * size))
        .map(|((result, x), grad)| {
            let mut sums = [vec![0.0; size], vec![0.0; size]];
            backward_rows(x, weight, grad, centred, eps, result, &mut sums);
            sums
        })
        .collect();
    let [mut grad_weight, mut grad_bias] = [vec![0.0; size], vec![0.0; size]];
    for [weights, biases] in &sums {
        for (total, part) in [(&mut grad_weight, weights), (&mut grad_bias, biases)] {
            for (total, part) in total.iter_mut().zip(part) {
                *total += part;
            }
        }
    }
    [result, grad_weight, grad_bias]
}

dispatch!(fn forward_rows = forward_body(
    x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]));
dispatch!(fn backward_rows = backward_body(
    x: &[f32], weight: &[f32], grad: &[f32], centred: bool, eps: f32, result: &mut [f32],
    sums: &mut [Vec<f32>; 2]));

/// Mean and reciprocal deviation of a row; the mean is 0 where rows are not `centred`.
#[inline(always)]
unsafe fn statistics<L: Lanes>(x: &[f32], centred: bool, eps: f32) -> (f32, f32) {
    let size = x.len() as f32;
    let mean = if centred {
        unsafe { total::<L>(x) / size }
    } else {
        0.0
    };
    unsafe {
        let mut squares = L::splat(0.0);
        let whole = x.len() / L::N * L::N;
        for at in (0..whole).step_by(L::N) {
            let centred = L::load(x.as_ptr().add(at)).sub(L::splat(mean));
            squares = centred.fma(centred, squares);
        }
        let rest: f32 = x[whole..].iter().map(|x| (x - mean) * (x - mean)).sum();
        (mean, 1.0 / ((squares.sum() + rest) / size + eps).sqrt())
    }
}

#[inline(always)]
unsafe fn total<L: Lanes>(x: &[f32]) -> f32 {
    unsafe {
        let mut sum = L::splat(0.0);
        let whole = x.len() / L::N * L::N;
        for at in (0..whole).step_by(L::N) {
            sum = sum.add(L::load(x.as_ptr().add(at)));
        }
        sum.sum() + x[whole..].iter().sum::<f32>()
    }
}

#[inline(always)]
unsafe fn forward_body<L: Lanes>(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    out: &mut [f32],
) {
    let size = weight.len();
    for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        // SAFETY: a span reads and writes within its row.
        unsafe {
            let found = statistics::<L>(x, bias.is_some(), eps);
            let done = forward_span::<L>(x, weight, bias, found, 0, out);
            forward_span::<Plain<1>>(x, weight, bias, found, done, out);
        }
    }
}

#[inline(always)]
unsafe fn forward_span<L: Lanes>(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    (mean, scale): (f32, f32),
    mut at: usize,
    out: &mut [f32],
) -> usize {
    while at + L::N <= x.len() {
        unsafe {
            let normed = L::load(x.as_ptr().add(at))
                .sub(L::splat(mean))
                .mul(L::splat(scale));
            let weight = L::load(weight.as_ptr().add(at));
            let y = match bias {
                Some(bias) => normed.fma(weight, L::load(bias.as_ptr().add(at))),
                None => normed.mul(weight),
            };
            y.store(out.as_mut_ptr().add(at));
        }
        at += L::N;
    }
    at
}

/// One row in backward.
#[derive(Clone, Copy)]
struct Row<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    grad: &'a [f32],
    mean: f32,
    scale: f32,
}

#[inline(always)]
unsafe fn backward_body<L: Lanes>(
    x: &[f32],
    weight: &[f32],
    grad: &[f32],
    centred: bool,
    eps: f32,
    result: &mut [f32],
    [weights, biases]: &mut [Vec<f32>; 2],
) {
    let size = weight.len();
    for ((x, grad), result) in x
        .chunks_exact(size)
        .zip(grad.chunks_exact(size))
        .zip(result.chunks_exact_mut(size))
    {
        // SAFETY: a span reads and writes within its row.
        unsafe {
            let (mean, scale) = statistics::<L>(x, centred, eps);
            let row = Row {
                x,
                weight,
                grad,
                mean,
                scale,
            };
            let (done, slope, along) = row.sums::<L>(0);
            let (_, rest, rest_along) = row.sums::<Plain<1>>(done);
            let slope = if centred {
                (slope + rest) / size as f32
            } else {
                0.0
            };
            let along = (along + rest_along) / size as f32;
            let done = row.span::<L>(slope, along, 0, result, weights, biases);
            row.span::<Plain<1>>(slope, along, done, result, weights, biases);
        }
    }
}

impl Row<'_> {
    /// The sums of `grad * weight`, and of that times the normalised values.
    #[inline(always)]
    unsafe fn sums<L: Lanes>(self, mut at: usize) -> (usize, f32, f32) {
        unsafe {
            let (mut slope, mut along) = (L::splat(0.0), L::splat(0.0));
            while at + L::N <= self.x.len() {
                let (normed, grad) = self.load::<L>(at);
                let grad = grad.mul(L::load(self.weight.as_ptr().add(at)));
                slope = slope.add(grad);
                along = grad.fma(normed, along);
                at += L::N;
            }
            (at, slope.sum(), along.sum())
        }
    }

    #[inline(always)]
    unsafe fn span<L: Lanes>(
        self,
        slope: f32,
        along: f32,
        mut at: usize,
        result: &mut [f32],
        weights: &mut [f32],
        biases: &mut [f32],
    ) -> usize {
        while at + L::N <= self.x.len() {
            unsafe {
                let (normed, grad) = self.load::<L>(at);
                let (weights, biases) = (weights.as_mut_ptr().add(at), biases.as_mut_ptr().add(at));
                grad.fma(normed, L::load(weights)).store(weights);
                grad.add(L::load(biases)).store(biases);
                let grad = grad.mul(L::load(self.weight.as_ptr().add(at)));
                let rest = normed.mul(L::splat(along)).add(L::splat(slope));
                grad.sub(rest)
                    .mul(L::splat(self.scale))
                    .store(result.as_mut_ptr().add(at));
            }
            at += L::N;
        }
        at
    }

    /// The normalised values and the gradient at one place.
    #[inline(always)]
    unsafe fn load<L: Lanes>(self, at: usize) -> (L, L) {
        unsafe {
            let x = L::load(self.x.as_ptr().add(at));
            let normed = x.sub(L::splat(self.mean)).mul(L::splat(self.scale));
            (normed, L::load(self.grad.as_ptr().add(at)))
        }
    }
}
