//! Registers of AVX-512 and AVX2.

use std::arch::x86_64::*;

use super::register::Lanes;

macro_rules! x86_lanes {
    ($name:ident, $register:ty, $lanes:literal, $rows:literal, $load:ident, $store:ident, $splat:ident, $add:ident,
     $sub:ident, $mul:ident, $div:ident, $fma:ident, $max:ident, $sqrt:ident, $shift:ident, $add_int:ident,
     $splat_int:ident, $to_int:ident, $from_int:ident, $where_gt:expr) => {
        /// A register of that instruction set.
        #[derive(Clone, Copy)]
        pub struct $name($register);

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

#[inline(always)]
unsafe fn where_gt_512(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
    unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes) }
}

#[inline(always)]
unsafe fn where_gt_256(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
    unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
}

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
