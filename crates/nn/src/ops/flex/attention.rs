//! Attention over prefix trees, fused with rotary positions, forward and backward.
//!
//! One work item is one row and key-value head. Its queries go in blocks of [`QUERIES`]; a block
//! meets only those blocks of [`KEYS`] keys of which one may be visible, so the cost follows the
//! visible keys and no more than a strip of scores is ever held. Backward recomputes the scores
//! from each query's log-sum-exp (FlashAttention, arXiv 2205.14135).

use rayon::prelude::*;

use crate::ops::TreeView;
use crate::ops::flex::cap::capped;
use crate::ops::flex::host::Shared;
use crate::ops::flex::lanes::{Lanes, Product, dispatch};

/// Queries in a block.
const QUERIES: usize = 16;
/// Keys in a block.
const KEYS: usize = 32;
/// Score of an invisible key.
const INVISIBLE: f32 = -1e30;

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

/// What the queries of one row may see, as floats for vector comparison; filling sees nothing.
struct Row {
    /// `[keys]`, padded to whole blocks: where each key's subtree ends, its column, its position.
    end: Vec<f32>,
    column: Vec<f32>,
    position: Vec<f32>,
    /// Per block of keys: the last end and the last position.
    last_end: Vec<u32>,
    last_position: Vec<u32>,
}

impl Row {
    fn new(view: &TreeView, row: usize) -> Self {
        let cells = row * view.width..(row + 1) * view.width;
        let (end, position) = (&view.end[cells.clone()], &view.position[cells]);
        let padded = view.width.next_multiple_of(KEYS);
        let pad = |values: &mut dyn Iterator<Item = u32>| {
            let mut padded_values: Vec<f32> = values.map(|v| v as f32).collect();
            padded_values.resize(padded, 0.0);
            padded_values
        };
        let largest = |values: &[u32]| -> Vec<u32> {
            values
                .chunks(KEYS)
                .map(|block| block.iter().copied().max().unwrap_or(0))
                .collect()
        };
        Self {
            end: pad(&mut end.iter().copied()),
            column: pad(&mut (0..view.width as u32)),
            position: pad(&mut position.iter().copied()),
            last_end: largest(end),
            last_position: largest(position),
        }
    }

    /// Blocks of keys of which the queries from `first` on may see one.
    fn visible_blocks(&self, view: &TreeView, first: usize, into: &mut Vec<usize>) {
        let last = (first + QUERIES).min(view.width);
        let shallowest = self.position[first..last]
            .iter()
            .copied()
            .fold(f32::MAX, f32::min);
        into.clear();
        into.extend((0..=(last - 1) / KEYS).filter(|&block| {
            let near = view
                .window
                .is_none_or(|window| shallowest < self.last_position[block] as f32 + window as f32);
            self.last_end[block] as usize > first && near
        }));
    }

    /// Lowers the scores of the keys of `block` that `query` does not see.
    #[inline(always)]
    unsafe fn mask<L: Lanes>(
        &self,
        scores: L,
        query: usize,
        key: usize,
        window: Option<usize>,
    ) -> L {
        unsafe {
            let hidden = L::splat(INVISIBLE);
            let column = L::splat(query as f32);
            let seen = L::load(self.end.as_ptr().add(key)).where_gt(column, scores, hidden);
            let seen = L::load(self.column.as_ptr().add(key)).where_gt(column, hidden, seen);
            match window {
                Some(window) => {
                    let reach =
                        L::load(self.position.as_ptr().add(key)).add(L::splat(window as f32));
                    reach.where_gt(L::splat(self.position[query]), seen, hidden)
                }
                None => seen,
            }
        }
    }
}

/// Where one head's columns are, in one row of a `[rows, width, stride]` array.
#[derive(Clone, Copy)]
struct Columns {
    first: usize,
    stride: usize,
    head_dim: usize,
    width: usize,
}

impl Columns {
    fn new(view: &TreeView, row: usize, stride: usize, head: usize) -> Self {
        Self {
            first: row * view.width * stride + head * view.head_dim,
            stride,
            head_dim: view.head_dim,
            width: view.width,
        }
    }

    /// Copies to `[rows, depth]`, zero where there is nothing.
    fn pack(self, from: &[f32], rows: usize, depth: usize) -> Vec<f32> {
        let mut packed = vec![0.0; rows * depth];
        for (column, to) in packed.chunks_exact_mut(depth).take(self.width).enumerate() {
            let at = self.first + column * self.stride;
            to[..self.head_dim].copy_from_slice(&from[at..at + self.head_dim]);
        }
        packed
    }

    /// The inverse of [`pack`](Self::pack).
    fn unpack(self, from: &[f32], depth: usize, to: Shared) {
        for (column, from) in from.chunks_exact(depth).take(self.width).enumerate() {
            // SAFETY: no two work items share a row and head.
            let to = unsafe { to.slice(self.first + column * self.stride, self.head_dim) };
            to.copy_from_slice(&from[..self.head_dim]);
        }
    }
}

/// Turns packed `[rows, depth]` queries or keys by their positions, or back, and scales them.
fn rotate(values: &mut [f32], depth: usize, view: &TreeView, row: usize, scale: f32, back: bool) {
    let turns = &view.turns()[row * view.width..(row + 1) * view.width];
    for (values, &turn) in values.chunks_exact_mut(depth).zip(turns) {
        if let Some(angles) = &view.angles {
            let half = angles.half();
            let (cos, sin) = angles.at(turn);
            let sign = if back { -1.0 } else { 1.0 };
            let (first, second) = values.split_at_mut(half);
            for i in 0..half {
                let (x, y, s) = (first[i], second[i], sin[i] * sign);
                first[i] = x * cos[i] - y * s;
                second[i] = y * cos[i] + x * s;
            }
        }
        if scale != 1.0 {
            values.iter_mut().for_each(|v| *v *= scale);
        }
    }
}

/// `[keys, depth]` to `[keys / KEYS, depth, KEYS]`.
fn transpose_blocks(values: &[f32], depth: usize) -> Vec<f32> {
    let mut turned = vec![0.0; values.len()];
    for (from, to) in values
        .chunks_exact(KEYS * depth)
        .zip(turned.chunks_exact_mut(KEYS * depth))
    {
        for (key, from) in from.chunks_exact(depth).enumerate() {
            for (d, &value) in from.iter().enumerate() {
                to[d * KEYS + key] = value;
            }
        }
    }
    turned
}

/// One row and key-value head, packed for the kernels; depths are padded to 16.
struct Packed {
    row: usize,
    group: std::ops::Range<usize>,
    qkv_stride: usize,
    depth: usize,
    queries: usize,
    keys: usize,
    seen: Row,
    key: Vec<f32>,
    value: Vec<f32>,
}

impl Packed {
    fn new(qkv: &[f32], view: &TreeView, item: usize) -> Self {
        let (row, kv_head) = (item / view.kv_heads, item % view.kv_heads);
        let share = view.heads / view.kv_heads;
        let qkv_stride = (view.heads + 2 * view.kv_heads) * view.head_dim;
        let depth = view.head_dim.next_multiple_of(16);
        let keys = view.width.next_multiple_of(KEYS);
        let take = |head: usize| Columns::new(view, row, qkv_stride, head).pack(qkv, keys, depth);
        let mut key = take(view.heads + kv_head);
        rotate(&mut key, depth, view, row, 1.0, false);
        Self {
            row,
            group: kv_head * share..(kv_head + 1) * share,
            qkv_stride,
            depth,
            queries: view.width.next_multiple_of(QUERIES),
            keys,
            seen: Row::new(view, row),
            key,
            value: take(view.heads + view.kv_heads + kv_head),
        }
    }

    /// One head's queries, turned and scaled.
    fn query(&self, qkv: &[f32], view: &TreeView, head: usize) -> Vec<f32> {
        let columns = Columns::new(view, self.row, self.qkv_stride, head);
        let mut query = columns.pack(qkv, self.queries, self.depth);
        rotate(&mut query, self.depth, view, self.row, view.scale, false);
        query
    }

    /// `[QUERIES, KEYS]` dot products with a transposed block, `out_row` apart.
    fn dots(&self, out_row: usize) -> Product {
        Product {
            rows: QUERIES,
            columns: KEYS,
            depth: self.depth,
            a_row: self.depth,
            a_step: 1,
            b_row: KEYS,
            out_row,
            add: false,
        }
    }
}

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
