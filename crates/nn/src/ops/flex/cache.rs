//! Attention of one query a sequence over its cached tokens, and the writing of that cache.
//!
//! One work item is one query and key-value head. Reading the cache is what takes time, so each key
//! and value is read once for all the heads that share it, in the order in which it lies.

use std::ops::Range;

use rayon::prelude::*;

use crate::ops::CacheView;
use crate::ops::flex::cap::capped;
use crate::ops::flex::host::Shared;
use crate::ops::flex::lanes::{Lanes, Plain, dispatch};

/// Registers that sum values side by side.
const SUMS: usize = 4;

/// Writes keys, turned, and values to their slots. `key` and `value`: `[kv_heads, slots, head_dim]`.
pub(super) fn write(qkv: &[f32], key: &mut [f32], value: &mut [f32], view: &CacheView<'_>) {
    let size = view.head_dim;
    let stride = (view.heads + 2 * view.kv_heads) * size;
    let per_head = key.len() / view.kv_heads;
    key.par_chunks_mut(per_head)
        .zip(value.par_chunks_mut(per_head))
        .enumerate()
        .for_each(|(head, (key, value))| {
            for (token, &slot) in view.slots.iter().enumerate() {
                let slot = slot as usize * size..(slot as usize + 1) * size;
                let at = token * stride + (view.heads + head) * size;
                rotate(&qkv[at..at + size], view, token, &mut key[slot.clone()]);
                let at = at + view.kv_heads * size;
                value[slot].copy_from_slice(&qkv[at..at + size]);
            }
        });
}

/// Output, `[tokens, heads * head_dim]`.
pub(super) fn attention(qkv: &[f32], key: &[f32], value: &[f32], view: &CacheView<'_>) -> Vec<f32> {
    let queries = view.slots.len();
    let mut out = vec![0.0; queries * view.heads * view.head_dim];
    let shared = Shared::new(&mut out);
    // Queries of one head follow each other: those with a prompt in common find it in the cache of
    // the CPU.
    (0..view.kv_heads * queries)
        .into_par_iter()
        .for_each(|item| attend(qkv, key, value, view, item, shared));
    out
}

dispatch!(fn attend = attend_body(
    qkv: &[f32], key: &[f32], value: &[f32], view: &CacheView<'_>, item: usize, out: Shared));

/// Turns one head of `token` by its position.
fn rotate(from: &[f32], view: &CacheView<'_>, token: usize, to: &mut [f32]) {
    let Some(angles) = view.angles else {
        return to.copy_from_slice(from);
    };
    let (cos, sin) = angles.at(view.position[token]);
    let half = cos.len();
    let (first, second) = from.split_at(half);
    let (to_first, to_second) = to.split_at_mut(half);
    for i in 0..half {
        to_first[i] = first[i] * cos[i] - second[i] * sin[i];
        to_second[i] = second[i] * cos[i] + first[i] * sin[i];
    }
    to_second[half..].copy_from_slice(&second[half..]);
}

#[inline(always)]
unsafe fn attend_body<L: Lanes>(
    qkv: &[f32],
    key: &[f32],
    value: &[f32],
    view: &CacheView<'_>,
    item: usize,
    out: Shared,
) {
    let (kv_head, token) = (item / view.slots.len(), item % view.slots.len());
    let (size, share) = (view.head_dim, view.heads / view.kv_heads);
    let stride = (view.heads + 2 * view.kv_heads) * size;
    let per_head = key.len() / view.kv_heads;
    let heads = kv_head * per_head..(kv_head + 1) * per_head;
    let (key, value) = (&key[heads.clone()], &value[heads]);
    let visible = &view.visible[token];
    let keys: usize = visible.iter().map(|range| range.len()).sum();

    let mut query = vec![0.0; share * size];
    let at = token * stride + kv_head * share * size;
    for (from, to) in qkv[at..at + share * size]
        .chunks_exact(size)
        .zip(query.chunks_exact_mut(size))
    {
        rotate(from, view, token, to);
    }
    query.iter_mut().for_each(|q| *q *= view.scale);

    // Scores beyond the keys weigh nothing.
    let padded = keys.next_multiple_of(16);
    let mut weights = vec![f32::MIN; share * padded];
    // SAFETY: no two work items share a token and key-value head.
    let out = unsafe { out.slice((token * view.heads + kv_head * share) * size, share * size) };
    // SAFETY: slots lie within the cache, which slicing checks; every access is within a head.
    unsafe {
        let mut k = 0;
        for range in visible {
            for key in rows_of(key, range, size).chunks_exact(size) {
                for (q, query) in query.chunks_exact(size).enumerate() {
                    weights[q * padded + k] = dot::<L>(query, key);
                }
                k += 1;
            }
        }
        if let Some(cap) = view.cap {
            for weights in weights.chunks_exact_mut(padded) {
                capped::<L>(&mut weights[..keys], cap);
            }
        }
        for (weights, out) in weights
            .chunks_exact_mut(padded)
            .zip(out.chunks_exact_mut(size))
        {
            let sum = exponentials::<L>(weights);
            average::<L>(weights, value, visible, 1.0 / sum, out);
        }
    }
}

/// The rows of a range of slots, in one head's `[slots, size]`.
#[inline(always)]
fn rows_of<'a>(head: &'a [f32], range: &Range<u32>, size: usize) -> &'a [f32] {
    &head[range.start as usize * size..range.end as usize * size]
}

#[inline(always)]
unsafe fn dot<L: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    unsafe {
        let mut sums = [L::splat(0.0); SUMS];
        let mut at = 0;
        while at + SUMS * L::N <= a.len() {
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = at + i * L::N;
                *sum = L::load(a.as_ptr().add(at)).fma(L::load(b.as_ptr().add(at)), *sum);
            }
            at += SUMS * L::N;
        }
        while at + L::N <= a.len() {
            sums[0] = L::load(a.as_ptr().add(at)).fma(L::load(b.as_ptr().add(at)), sums[0]);
            at += L::N;
        }
        let rest: f32 = a[at..].iter().zip(&b[at..]).map(|(a, b)| a * b).sum();
        sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() + rest
    }
}

/// Replaces scores, a multiple of 16, by their exponentials below the largest; gives their sum.
#[inline(always)]
unsafe fn exponentials<L: Lanes>(scores: &mut [f32]) -> f32 {
    unsafe {
        let mut largest = L::splat(f32::MIN);
        for at in (0..scores.len()).step_by(L::N) {
            largest = largest.max(L::load(scores.as_ptr().add(at)));
        }
        let largest = L::splat(largest.largest());
        let mut sum = L::splat(0.0);
        for at in (0..scores.len()).step_by(L::N) {
            let at = scores.as_mut_ptr().add(at);
            let weight = L::load(at).sub(largest).exp();
            weight.store(at);
            sum = sum.add(weight);
        }
        sum.sum()
    }
}

/// The weighted sum of the visible values, scaled.
#[inline(always)]
unsafe fn average<L: Lanes>(
    weights: &[f32],
    value: &[f32],
    visible: &[Range<u32>],
    scale: f32,
    out: &mut [f32],
) {
    unsafe {
        let mut at = 0;
        while at + SUMS * L::N <= out.len() {
            columns::<L, SUMS>(weights, value, visible, scale, at, out);
            at += SUMS * L::N;
        }
        while at + L::N <= out.len() {
            columns::<L, 1>(weights, value, visible, scale, at, out);
            at += L::N;
        }
        while at < out.len() {
            columns::<Plain<1>, 1>(weights, value, visible, scale, at, out);
            at += 1;
        }
    }
}

/// [`average`] of `W` registers of columns from `at` on.
#[inline(always)]
unsafe fn columns<L: Lanes, const W: usize>(
    weights: &[f32],
    value: &[f32],
    visible: &[Range<u32>],
    scale: f32,
    at: usize,
    out: &mut [f32],
) {
    unsafe {
        let size = out.len();
        let mut sums = [L::splat(0.0); W];
        let mut k = 0;
        for range in visible {
            for value in rows_of(value, range, size).chunks_exact(size) {
                let weight = L::splat(weights[k]);
                for (w, sum) in sums.iter_mut().enumerate() {
                    *sum = weight.fma(L::load(value.as_ptr().add(at + w * L::N)), *sum);
                }
                k += 1;
            }
        }
        for (w, sum) in sums.iter().enumerate() {
            let to = out.as_mut_ptr().add(at + w * L::N);
            sum.mul(L::splat(scale)).store(to);
        }
    }
}
