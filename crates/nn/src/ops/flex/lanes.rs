//! Vectors of f32 for the widest instructions that the running CPU has.
//!
//! A kernel is written once over [`Lanes`] and compiled three times; [`dispatch`] picks one at run
//! time, so that a default x86-64 build still uses AVX-512 where there is one.

mod register;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use register::{Lanes, Plain};
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The widest that this CPU has.
pub(super) fn level() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return Level::Avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
    }
    Level::Plain
}

/// Defines `fn $name(...)`, which runs `$body::<L>(...)` with the widest [`Lanes`] of this CPU.
macro_rules! dispatch {
    ($(#[$doc:meta])* fn $name:ident = $body:ident($($arg:ident: $type:ty),* $(,)?)) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) {
            use $crate::ops::flex::lanes;
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn wide($($arg: $type),*) {
                unsafe { $body::<lanes::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn middle($($arg: $type),*) {
                unsafe { $body::<lanes::Avx2>($($arg),*) }
            }
            // SAFETY: each level is only chosen where the CPU has it.
            unsafe {
                match lanes::level() {
                    #[cfg(target_arch = "x86_64")]
                    lanes::Level::Avx512 => wide($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    lanes::Level::Avx2 => middle($($arg),*),
                    lanes::Level::Plain => $body::<lanes::Plain<4>>($($arg),*),
                }
            }
        }
    };
}
pub(super) use dispatch;

/// `out[r][c] (+)= sum over t of a[r * row + t * step] * b[t * b_row + c]`: a small matrix product
/// in registers.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// Rows and columns of `out`, and the terms of each sum. Rows must be a multiple of 8 and
    /// columns of 16.
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    /// Distance between rows of `a`, and between the terms of one row.
    pub a_row: usize,
    pub a_step: usize,
    /// Distance between rows of `b` and of `out`.
    pub b_row: usize,
    pub out_row: usize,
    /// Add to `out` instead of overwriting it.
    pub add: bool,
}

impl Product {
    /// # Safety
    ///
    /// The pointers must be valid for the sizes given, and `L` for this CPU.
    #[inline(always)]
    pub(super) unsafe fn run<L: Lanes>(self, a: *const f32, b: *const f32, out: *mut f32) {
        unsafe {
            let mut column = 0;
            while column < self.columns {
                let wide = column + 2 * L::N <= self.columns;
                let mut row = 0;
                while row < self.rows {
                    let a = a.add(row * self.a_row);
                    let b = b.add(column);
                    let out = out.add(row * self.out_row + column);
                    match (wide, L::ROWS) {
                        (true, 8) => self.tile::<L, 8, 2>(a, b, out),
                        (true, _) => self.tile::<L, 4, 2>(a, b, out),
                        (false, 8) => self.tile::<L, 8, 1>(a, b, out),
                        (false, _) => self.tile::<L, 4, 1>(a, b, out),
                    }
                    row += L::ROWS;
                }
                column += if wide { 2 * L::N } else { L::N };
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const W: usize>(
        self,
        a: *const f32,
        b: *const f32,
        out: *mut f32,
    ) {
        unsafe {
            let mut sums = [[L::splat(0.0); W]; R];
            for t in 0..self.depth {
                let b = b.add(t * self.b_row);
                let mut right = [L::splat(0.0); W];
                for (w, right) in right.iter_mut().enumerate() {
                    *right = L::load(b.add(w * L::N));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let left = L::splat(*a.add(r * self.a_row + t * self.a_step));
                    for (sum, &right) in sums.iter_mut().zip(&right) {
                        *sum = left.fma(right, *sum);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (w, &sum) in sums.iter().enumerate() {
                    let out = out.add(r * self.out_row + w * L::N);
                    let sum = if self.add { L::load(out).add(sum) } else { sum };
                    sum.store(out);
                }
            }
        }
    }
}
