//! What kernels ask of a register, and registers of any CPU.

/// A register of f32.
///
/// # Safety
///
/// Methods of a register may only run where the CPU has its instruction set (`level` says which); pointers must be valid
/// for `N` values.
pub trait Lanes: Copy {
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
pub struct Plain<const N: usize>([f32; N]);

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
