//! Matrix products into buffers of our own: what Burn's matmul cannot do is add to its output.

use gemm::{Parallelism, gemm};

/// Products smaller than this are not worth waking threads for.
const PARALLEL: usize = 1 << 22;

/// A matrix whose rows or columns lie one after the other.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values each.
    pub(super) fn rows(values: &'a [f32], columns: usize) -> Self {
        Self {
            values,
            rows: values.len() / columns.max(1),
            columns,
            transposed: false,
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

    /// Distances between rows and between columns.
    fn strides(self) -> (isize, isize) {
        if self.transposed {
            (1, self.rows as isize)
        } else {
            (self.columns as isize, 1)
        }
    }

    /// `self @ right`, row by row.
    pub(super) fn times(self, right: Matrix<'_>) -> Vec<f32> {
        let size = self.rows * right.columns;
        let mut out = Vec::with_capacity(size);
        // SAFETY: the product writes every one of the `size` values.
        unsafe {
            multiply(out.as_mut_ptr(), self, right, false);
            out.set_len(size);
        }
        out
    }
}

/// `out = left @ right`, row by row.
pub(super) fn product(out: &mut [f32], left: Matrix<'_>, right: Matrix<'_>) {
    assert_eq!(out.len(), left.rows * right.columns);
    // SAFETY: the length was checked.
    unsafe { multiply(out.as_mut_ptr(), left, right, false) }
}

/// `out += left @ right`, row by row.
pub(super) fn add_product(out: &mut [f32], left: Matrix<'_>, right: Matrix<'_>) {
    assert_eq!(out.len(), left.rows * right.columns);
    // SAFETY: the length was checked.
    unsafe { multiply(out.as_mut_ptr(), left, right, true) }
}

/// # Safety
///
/// `out` has room for `left.rows * right.columns` values, initialised where they are added to.
unsafe fn multiply(out: *mut f32, left: Matrix<'_>, right: Matrix<'_>, add: bool) {
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
            n as isize,
            add,
            left,
            left_column,
            left_row,
            right,
            right_column,
            right_row,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
