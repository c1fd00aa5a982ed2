//! Vectors of f32 for the widest instructions that the running CPU has.
//!
//! A kernel is written once over [`Lanes`] and compiled three times; [`dispatch`] picks one at run
//! time, so that a default x86-64 build still uses AVX-512 where there is one.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A register of f32.
///
/// # Safety
///
/// Methods of [`Avx512`] and [`Avx2`] may only run where [`level`] says so; pointers must be valid
/// for `N` values.
pub(super) trait Lanes: Copy {
    /// Values in a register.
    const N: usize;
    /// Rows of a register tile that leave room for its operands.
    const ROWS: usize;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn splat(value: f32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self * factor + term`, in one rounding where the CPU has it.
    unsafe fn fma(self, factor: Self, term: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn sqrt(self) -> Self;
    /// `yes` where `self > other`, else `no`.
    unsafe fn where_gt(self, other: Self, yes: Self, no: Self) -> Self;
    /// `2^n` from `n + 1.5 * 2^23`.
    unsafe fn power_of_two(self) -> Self;

    /// The sum of all values.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut values = [0.0; 16];
        unsafe { self.store(values.as_mut_ptr()) };
        values[..Self::N].iter().sum()
    }

    /// The largest value.
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        let mut values = [0.0; 16];
        unsafe { self.store(values.as_mut_ptr()) };
        values[..Self::N].iter().copied().fold(f32::MIN, f32::max)
    }

    /// `e^x` to 2 ulp; 0 below -87.3, and infinity's neighbour above 88.3. The polynomial is that
    /// of Cephes' `expf`.
    #[inline(always)]
    unsafe fn exp(self) -> Self {
        unsafe {
            let magic = Self::splat(12_582_912.0);
            let x = self.where_gt(Self::splat(88.37), Self::splat(88.37), self);
            let shifted = x.fma(Self::splat(std::f32::consts::LOG2_E), magic);
            let n = shifted.sub(magic);
            let r = n.fma(Self::splat(-0.693_359_4), x);
            let r = n.fma(Self::splat(2.121_944_4e-4), r);
            let p = Self::splat(1.987_569_1e-4);
            let p = p.fma(r, Self::splat(1.398_2e-3));
            let p = p.fma(r, Self::splat(8.333_452e-3));
            let p = p.fma(r, Self::splat(4.166_579_6e-2));
            let p = p.fma(r, Self::splat(1.666_666_6e-1));
            let p = p.fma(r, Self::splat(0.5));
            let y = p.fma(r.mul(r), r.add(Self::splat(1.0)));
            let y = y.mul(shifted.power_of_two());
            Self::splat(-87.3).where_gt(x, Self::splat(0.0), y)
        }
    }

    /// The hyperbolic tangent, to some ulp: Eigen's rational approximation.
    #[inline(always)]
    unsafe fn tanh(self) -> Self {
        unsafe {
            let largest = Self::splat(7.905_311);
            let x = self.where_gt(largest, largest, self);
            let smallest = Self::splat(-7.905_311);
            let x = smallest.where_gt(x, smallest, x);
            let y = x.mul(x);
            let p = Self::splat(-2.760_768_5e-16);
            let p = p.fma(y, Self::splat(2.000_188e-13));
            let p = p.fma(y, Self::splat(-8.604_672e-11));
            let p = p.fma(y, Self::splat(5.122_297e-8));
            let p = p.fma(y, Self::splat(1.485_722_3e-5));
            let p = p.fma(y, Self::splat(6.372_619e-4));
            let p = p.fma(y, Self::splat(4.893_524_6e-3)).mul(x);
            let q = Self::splat(1.198_258_4e-6);
            let q = q.fma(y, Self::splat(1.185_347_1e-4));
            let q = q.fma(y, Self::splat(2.268_434_6e-3));
            let q = q.fma(y, Self::splat(4.893_525e-3));
            p.div(q)
        }
    }
}

/// Plain values: four for any CPU, one for what is left over at the end of a row.
#[derive(Clone, Copy)]
pub(super) struct Plain<const N: usize>([f32; N]);

impl<const N: usize> Plain<N> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl<const N: usize> Lanes for Plain<N> {
    const N: usize = N;
    const ROWS: usize = 4;
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { from.cast::<[f32; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; N])
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn fma(self, factor: Self, term: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(term, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }
    #[inline(always)]
    unsafe fn where_gt(self, other: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|i| {
            if self.0[i] > other.0[i] {
                yes.0[i]
            } else {
                no.0[i]
            }
        }))
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        Self(
            self.0
                .map(|x| f32::from_bits((x.to_bits() << 23).wrapping_add(0x3f80_0000))),
        )
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! x86_lanes {
    ($name:ident, $register:ty, $lanes:literal, $rows:literal, $load:ident, $store:ident, $splat:ident, $add:ident,
     $sub:ident, $mul:ident, $div:ident, $fma:ident, $max:ident, $sqrt:ident, $shift:ident, $add_int:ident,
     $splat_int:ident, $to_int:ident, $from_int:ident, $where_gt:expr) => {
        /// A register of that instruction set.
        #[derive(Clone, Copy)]
        pub(super) struct $name($register);

        impl Lanes for $name {
            const N: usize = $lanes;
            const ROWS: usize = $rows;
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                Self(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn div(self, other: Self) -> Self {
                Self(unsafe { $div(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn fma(self, factor: Self, term: Self) -> Self {
                Self(unsafe { $fma(self.0, factor.0, term.0) })
            }
            #[inline(always)]
            unsafe fn max(self, other: Self) -> Self {
                Self(unsafe { $max(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn sqrt(self) -> Self {
                Self(unsafe { $sqrt(self.0) })
            }
            #[inline(always)]
            unsafe fn where_gt(self, other: Self, yes: Self, no: Self) -> Self {
                Self(unsafe { $where_gt(self.0, other.0, yes.0, no.0) })
            }
            #[inline(always)]
            unsafe fn power_of_two(self) -> Self {
                unsafe {
                    let bits = $shift::<23>($to_int(self.0));
                    Self($from_int($add_int(bits, $splat_int(0x3f80_0000))))
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn where_gt_512(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
    unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes) }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn where_gt_256(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
    unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
}

#[cfg(target_arch = "x86_64")]
x86_lanes!(
    Avx512,
    __m512,
    16,
    8,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_fmadd_ps,
    _mm512_max_ps,
    _mm512_sqrt_ps,
    _mm512_slli_epi32,
    _mm512_add_epi32,
    _mm512_set1_epi32,
    _mm512_castps_si512,
    _mm512_castsi512_ps,
    where_gt_512
);

#[cfg(target_arch = "x86_64")]
x86_lanes!(
    Avx2,
    __m256,
    8,
    4,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_fmadd_ps,
    _mm256_max_ps,
    _mm256_sqrt_ps,
    _mm256_slli_epi32,
    _mm256_add_epi32,
    _mm256_set1_epi32,
    _mm256_castps_si256,
    _mm256_castsi256_ps,
    where_gt_256
);

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
