//! Matrix products into buffers of our own: what Burn's matmul cannot do is add to its output.

use std::ops::Range;

use gemm::{Parallelism, gemm};

/// Products smaller than this are not worth waking threads for.
const PARALLEL: usize = 1 << 22;

/// A matrix whose rows or columns lie one after the other, or some columns of it.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// From one row, or column where `transposed`, to the next.
    stride: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values each.
    pub(super) fn rows(values: &'a [f32], columns: usize) -> Self {
        Self {
            values,
            rows: values.len() / columns.max(1),
            columns,
            stride: columns,
            transposed: false,
        }
    }

    /// Some columns of rows of `width` values each.
    pub(super) fn part(values: &'a [f32], width: usize, columns: Range<usize>) -> Self {
        let all = Self::rows(values, width);
        Self {
            values: &values[columns.start.min(values.len())..],
            columns: columns.len(),
            ..all
        }
    }

    /// The same values, read down the columns.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            transposed: !self.transposed,
            ..self
        }
    }

    pub(super) fn columns(self) -> usize {
        self.columns
    }

    /// Distances between rows and between columns.
    fn strides(self) -> (isize, isize) {
        let stride = self.stride as isize;
        match self.transposed {
            true => (1, stride),
            false => (stride, 1),
        }
    }

    /// `self @ right`, row by row.
    pub(super) fn times(self, right: Matrix<'_>) -> Vec<f32> {
        let size = self.rows * right.columns;
        let mut out = Vec::with_capacity(size);
        // SAFETY: the product writes every one of the `size` values.
        unsafe {
            multiply((out.as_mut_ptr(), right.columns), self, right, None);
            out.set_len(size);
        }
        out
    }
}

/// `out = left @ right`, row by row.
pub(super) fn product(out: &mut [f32], left: Matrix<'_>, right: Matrix<'_>) {
    assert_eq!(out.len(), left.rows * right.columns);
    // SAFETY: the length was checked.
    unsafe { multiply((out.as_mut_ptr(), right.columns), left, right, None) }
}

/// `out += left @ right`, row by row.
pub(super) fn add_product(out: &mut [f32], left: Matrix<'_>, right: Matrix<'_>) {
    assert_eq!(out.len(), left.rows * right.columns);
    // SAFETY: the length was checked.
    unsafe { multiply((out.as_mut_ptr(), right.columns), left, right, Some(1.0)) }
}

/// `out += factor * left @ right` in the columns from `start` on of rows of `width` values each.
pub(super) fn add_to_part(
    out: &mut [f32],
    (width, start): (usize, usize),
    left: Matrix<'_>,
    right: Matrix<'_>,
    factor: f32,
) {
    assert_eq!(out.len(), left.rows * width);
    assert!(start + right.columns <= width, "columns of a part");
    if left.rows > 0 {
        // SAFETY: rows are `width` apart, and the columns are within them.
        unsafe {
            multiply(
                (out.as_mut_ptr().add(start), width),
                left,
                right,
                Some(factor),
            )
        }
    }
}

/// # Safety
///
/// `out` has room for `left.rows` rows of `right.columns` values, each so far from the next, initialised where products
/// are added to them, times `add`.
unsafe fn multiply(
    (out, stride): (*mut f32, usize),
    left: Matrix<'_>,
    right: Matrix<'_>,
    add: Option<f32>,
) {
    assert_eq!(left.columns, right.rows, "inner sizes of a product");
    let (m, n, k) = (left.rows, right.columns, left.columns);
    let parallelism = if m * n * k < PARALLEL {
        Parallelism::None
    } else {
        Parallelism::Rayon(0)
    };
    let ((left_row, left_column), (right_row, right_column)) = (left.strides(), right.strides());
    let (left, right) = (left.values.as_ptr(), right.values.as_ptr());
    // SAFETY: strides and sizes describe the slices that the pointers come from.
    unsafe {
        gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            add.is_some(),
            left,
            left_column,
            left_row,
            right,
            right_column,
            right_row,
            1.0,
            add.unwrap_or(1.0),
            false,
            false,
            false,
            parallelism,
        );
    }
}
