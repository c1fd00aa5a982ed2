//! Attention over prefix trees, fused with rotary positions, forward and backward.
//!
//! One work item is one row and key-value head. Its queries go in blocks of [`QUERIES`]; a block
//! meets only those blocks of [`KEYS`] keys of which one may be visible, so the cost follows the
//! visible keys and no more than a strip of scores is ever held. Backward recomputes the scores
//! from each query's log-sum-exp (FlashAttention, arXiv 2205.14135).

mod packed;

use rayon::prelude::*;

use crate::ops::TreeView;
use crate::ops::flex::cap::capped;
use crate::ops::flex::host::Shared;
use crate::ops::flex::lanes::{Lanes, Product, dispatch};
use packed::{Columns, INVISIBLE, KEYS, Packed, QUERIES, rotate, transpose_blocks};

/// Output, `[rows, width, heads * head_dim]`, and each query's log-sum-exp, `[rows, heads, width]`.
pub(super) fn forward(qkv: &[f32], view: &TreeView) -> (Vec<f32>, Vec<f32>) {
    let cells = view.rows * view.width;
    let mut out = vec![0.0; cells * view.heads * view.head_dim];
    let mut lse = vec![0.0; cells * view.heads];
    let (shared_out, shared_lse) = (Shared::new(&mut out), Shared::new(&mut lse));
    (0..view.rows * view.kv_heads)
        .into_par_iter()
        .for_each(|item| forward_item(qkv, view, item, shared_out, shared_lse));
    (out, lse)
}

/// Gradient of `qkv`, in its shape, from that of the output.
pub(super) fn backward(
    qkv: &[f32],
    out: &[f32],
    lse: &[f32],
    grad: &[f32],
    view: &TreeView,
) -> Vec<f32> {
    let mut result = vec![0.0; qkv.len()];
    let shared = Shared::new(&mut result);
    (0..view.rows * view.kv_heads)
        .into_par_iter()
        .for_each(|item| backward_item(qkv, out, lse, grad, view, item, shared));
    result
}

dispatch!(fn forward_item = forward_body(
    qkv: &[f32], view: &TreeView, item: usize, out: Shared, lse: Shared));
dispatch!(fn backward_item = backward_body(
    qkv: &[f32], out: &[f32], lse: &[f32], grad: &[f32], view: &TreeView, item: usize,
    result: Shared));

#[inline(always)]
unsafe fn forward_body<L: Lanes>(
    qkv: &[f32],
    view: &TreeView,
    item: usize,
    out: Shared,
    lse: Shared,
) {
    let packed = Packed::new(qkv, view, item);
    let depth = packed.depth;
    let turned = transpose_blocks(&packed.key, depth);
    let mut blocks = Vec::new();
    let mut all_scores = vec![0.0; QUERIES * packed.keys];
    for head in packed.group.clone() {
        let query = packed.query(qkv, view, head);
        let mut attended = vec![0.0; packed.queries * depth];
        // SAFETY: no two work items share a row and head.
        let lse = unsafe { lse.slice((packed.row * view.heads + head) * view.width, view.width) };
        for first in (0..view.width).step_by(QUERIES) {
            packed.seen.visible_blocks(view, first, &mut blocks);
            let strip = blocks.len() * KEYS;
            let average = Product {
                rows: QUERIES,
                columns: depth,
                depth: KEYS,
                a_row: strip,
                a_step: 1,
                b_row: depth,
                out_row: depth,
                add: true,
            };
            // SAFETY: every product stays inside its padded buffers.
            unsafe {
                let query = query.as_ptr().add(first * depth);
                let attended = attended.as_mut_ptr().add(first * depth);
                let scores = all_scores.as_mut_ptr();
                for (slot, &block) in blocks.iter().enumerate() {
                    let key = turned.as_ptr().add(block * KEYS * depth);
                    packed
                        .dots(strip)
                        .run::<L>(query, key, scores.add(slot * KEYS));
                }
                if let Some(cap) = view.cap {
                    capped::<L>(std::slice::from_raw_parts_mut(scores, QUERIES * strip), cap);
                }
                let mut scale = [0.0; QUERIES];
                for q in 0..QUERIES.min(view.width - first) {
                    let scores = scores.add(q * strip);
                    let mut largest = L::splat(INVISIBLE);
                    for (slot, &block) in blocks.iter().enumerate() {
                        for k in (0..KEYS).step_by(L::N) {
                            let at = scores.add(slot * KEYS + k);
                            let masked = packed.seen.mask(
                                L::load(at),
                                first + q,
                                block * KEYS + k,
                                view.window,
                            );
                            masked.store(at);
                            largest = largest.max(masked);
                        }
                    }
                    let largest = largest.largest();
                    let mut sum = L::splat(0.0);
                    for k in (0..strip).step_by(L::N) {
                        let weight = L::load(scores.add(k)).sub(L::splat(largest)).exp();
                        weight.store(scores.add(k));
                        sum = sum.add(weight);
                    }
                    let sum = sum.sum();
                    scale[q] = 1.0 / sum;
                    lse[first + q] = largest + sum.ln();
                }
                for (slot, &block) in blocks.iter().enumerate() {
                    let value = packed.value.as_ptr().add(block * KEYS * depth);
                    average.run::<L>(scores.add(slot * KEYS), value, attended);
                }
                for (q, scale) in scale.into_iter().enumerate() {
                    for d in (0..depth).step_by(L::N) {
                        let at = attended.add(q * depth + d);
                        L::load(at).mul(L::splat(scale)).store(at);
                    }
                }
            }
        }
        let stride = view.heads * view.head_dim;
        Columns::new(view, packed.row, stride, head).unpack(&attended, depth, out);
    }
}

#[inline(always)]
unsafe fn backward_body<L: Lanes>(
    qkv: &[f32],
    out: &[f32],
    lse: &[f32],
    grad: &[f32],
    view: &TreeView,
    item: usize,
    result: Shared,
) {
    let packed = Packed::new(qkv, view, item);
    let depth = packed.depth;
    let turned_key = transpose_blocks(&packed.key, depth);
    let turned_value = transpose_blocks(&packed.value, depth);
    let mut grad_key = vec![0.0; packed.keys * depth];
    let mut grad_value = vec![0.0; packed.keys * depth];
    let mut blocks = Vec::new();
    let mut weights = [0.0; QUERIES * KEYS];
    let mut slopes = [0.0; QUERIES * KEYS];
    let mut capped_scores = [0.0; QUERIES * KEYS];
    // Rows of keys from a tile of [QUERIES, KEYS], read down its columns.
    let to_keys = Product {
        rows: KEYS,
        columns: depth,
        depth: QUERIES,
        a_row: 1,
        a_step: KEYS,
        b_row: depth,
        out_row: depth,
        add: true,
    };
    let to_queries = Product {
        rows: QUERIES,
        depth: KEYS,
        a_row: KEYS,
        a_step: 1,
        ..to_keys
    };
    for head in packed.group.clone() {
        let query = packed.query(qkv, view, head);
        let columns = Columns::new(view, packed.row, view.heads * view.head_dim, head);
        let grad = columns.pack(grad, packed.queries, depth);
        let out = columns.pack(out, packed.queries, depth);
        let mut grad_query = vec![0.0; packed.queries * depth];
        let lse = &lse[(packed.row * view.heads + head) * view.width..][..view.width];
        for first in (0..view.width).step_by(QUERIES) {
            packed.seen.visible_blocks(view, first, &mut blocks);
            let here = first * depth..(first + QUERIES) * depth;
            let mut delta = [0.0; QUERIES];
            for (q, (grad, out)) in grad[here.clone()]
                .chunks_exact(depth)
                .zip(out[here].chunks_exact(depth))
                .enumerate()
            {
                delta[q] = grad.iter().zip(out).map(|(g, o)| g * o).sum();
            }
            // SAFETY: every product stays inside its padded buffers.
            unsafe {
                let query = query.as_ptr().add(first * depth);
                let grad = grad.as_ptr().add(first * depth);
                let grad_query = grad_query.as_mut_ptr().add(first * depth);
                let (weights, slopes) = (weights.as_mut_ptr(), slopes.as_mut_ptr());
                for &block in &blocks {
                    let at = block * KEYS * depth;
                    let dots = packed.dots(KEYS);
                    dots.run::<L>(query, turned_key.as_ptr().add(at), weights);
                    if let Some(cap) = view.cap {
                        let tile = std::slice::from_raw_parts_mut(weights, QUERIES * KEYS);
                        capped::<L>(tile, cap);
                        capped_scores.copy_from_slice(tile);
                    }
                    dots.run::<L>(grad, turned_value.as_ptr().add(at), slopes);
                    for q in 0..QUERIES {
                        let real = first + q < view.width;
                        for k in (0..KEYS).step_by(L::N) {
                            let (weight, slope) =
                                (weights.add(q * KEYS + k), slopes.add(q * KEYS + k));
                            if !real {
                                L::splat(0.0).store(weight);
                                L::splat(0.0).store(slope);
                                continue;
                            }
                            let scores = packed.seen.mask(
                                L::load(weight),
                                first + q,
                                block * KEYS + k,
                                view.window,
                            );
                            let p = scores.sub(L::splat(lse[first + q])).exp();
                            p.store(weight);
                            p.mul(L::load(slope).sub(L::splat(delta[q]))).store(slope);
                        }
                    }
                    if let Some(cap) = view.cap {
                        // What is left of tanh's slope.
                        for (i, score) in capped_scores.iter().enumerate() {
                            *slopes.add(i) *= 1.0 - (score / cap) * (score / cap);
                        }
                    }
                    to_queries.run::<L>(slopes, packed.key.as_ptr().add(at), grad_query);
                    to_keys.run::<L>(slopes, query, grad_key.as_mut_ptr().add(at));
                    to_keys.run::<L>(weights, grad, grad_value.as_mut_ptr().add(at));
                }
            }
        }
        rotate(&mut grad_query, depth, view, packed.row, view.scale, true);
        Columns::new(view, packed.row, packed.qkv_stride, head).unpack(&grad_query, depth, result);
    }
    rotate(&mut grad_key, depth, view, packed.row, 1.0, true);
    let kv_head = item % view.kv_heads;
    let columns = |head: usize| Columns::new(view, packed.row, packed.qkv_stride, head);
    columns(view.heads + kv_head).unpack(&grad_key, depth, result);
    columns(view.heads + view.kv_heads + kv_head).unpack(&grad_value, depth, result);
}
