//! One row and head as the attention kernels read it: padded, turned by its positions, and what of it may be seen.

use crate::ops::TreeView;
use crate::ops::flex::host::Shared;
use crate::ops::flex::lanes::{Lanes, Product};

/// Queries in a block.
pub(super) const QUERIES: usize = 16;
/// Keys in a block.
pub(super) const KEYS: usize = 32;
/// Score of an invisible key.
pub(super) const INVISIBLE: f32 = -1e30;

/// What the queries of one row may see, as floats for vector comparison; filling sees nothing.
pub(super) struct Row {
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
    pub fn visible_blocks(&self, view: &TreeView, first: usize, into: &mut Vec<usize>) {
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
    pub unsafe fn mask<L: Lanes>(
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
pub(super) struct Columns {
    first: usize,
    stride: usize,
    head_dim: usize,
    width: usize,
}

impl Columns {
    pub fn new(view: &TreeView, row: usize, stride: usize, head: usize) -> Self {
        Self {
            first: row * view.width * stride + head * view.head_dim,
            stride,
            head_dim: view.head_dim,
            width: view.width,
        }
    }

    /// Copies to `[rows, depth]`, zero where there is nothing.
    pub fn pack(self, from: &[f32], rows: usize, depth: usize) -> Vec<f32> {
        let mut packed = vec![0.0; rows * depth];
        for (column, to) in packed.chunks_exact_mut(depth).take(self.width).enumerate() {
            let at = self.first + column * self.stride;
            to[..self.head_dim].copy_from_slice(&from[at..at + self.head_dim]);
        }
        packed
    }

    /// The inverse of [`pack`](Self::pack).
    pub fn unpack(self, from: &[f32], depth: usize, to: Shared) {
        for (column, from) in from.chunks_exact(depth).take(self.width).enumerate() {
            // SAFETY: no two work items share a row and head.
            let to = unsafe { to.slice(self.first + column * self.stride, self.head_dim) };
            to.copy_from_slice(&from[..self.head_dim]);
        }
    }
}

/// Turns packed `[rows, depth]` queries or keys by their positions, or back, and scales them.
pub(super) fn rotate(
    values: &mut [f32],
    depth: usize,
    view: &TreeView,
    row: usize,
    scale: f32,
    back: bool,
) {
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
pub(super) fn transpose_blocks(values: &[f32], depth: usize) -> Vec<f32> {
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
pub(super) struct Packed {
    pub row: usize,
    pub group: std::ops::Range<usize>,
    pub qkv_stride: usize,
    pub depth: usize,
    pub queries: usize,
    pub keys: usize,
    pub seen: Row,
    pub key: Vec<f32>,
    pub value: Vec<f32>,
}

impl Packed {
    pub fn new(qkv: &[f32], view: &TreeView, item: usize) -> Self {
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
    pub fn query(&self, qkv: &[f32], view: &TreeView, head: usize) -> Vec<f32> {
        let columns = Columns::new(view, self.row, self.qkv_stride, head);
        let mut query = columns.pack(qkv, self.queries, self.depth);
        rotate(&mut query, self.depth, view, self.row, view.scale, false);
        query
    }

    /// `[QUERIES, KEYS]` dot products with a transposed block, `out_row` apart.
    pub fn dots(&self, out_row: usize) -> Product {
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
