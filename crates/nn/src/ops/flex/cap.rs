//! Soft caps: `cap * tanh(x / cap)` (Bello et al., arXiv 1611.09940).

use crate::ops::flex::lanes::{Lanes, Plain, dispatch};

dispatch!(
    /// Caps each value softly.
    fn soften = soften_body(values: &mut [f32], cap: f32));

#[inline(always)]
unsafe fn soften_body<L: Lanes>(values: &mut [f32], cap: f32) {
    // SAFETY: it is the caller's to run `L`'s instructions.
    unsafe { capped::<L>(values, cap) }
}

/// Caps each value softly, with the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn capped<L: Lanes>(values: &mut [f32], cap: f32) {
    // SAFETY: a span stays within the values.
    unsafe {
        let done = span::<L>(values, cap, 0);
        span::<Plain<1>>(values, cap, done);
    }
}

#[inline(always)]
unsafe fn span<L: Lanes>(values: &mut [f32], cap: f32, mut at: usize) -> usize {
    while at + L::N <= values.len() {
        unsafe {
            let place = values.as_mut_ptr().add(at);
            let share = L::load(place).mul(L::splat(1.0 / cap));
            share.tanh().mul(L::splat(cap)).store(place);
        }
        at += L::N;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_tanh() {
        for cap in [0.5f32, 1.0, 30.0, 50.0] {
            let mut values: Vec<f32> = (-4000..=4003).map(|i| i as f32 * 0.003 * cap).collect();
            values.extend([0.0, -0.0, 1e-20, 3.4e38, -3.4e38]);
            let given = values.clone();
            soften(&mut values, cap);
            for (capped, x) in values.iter().zip(given) {
                let expected = f64::from(cap) * (f64::from(x) / f64::from(cap)).tanh();
                let error = (f64::from(*capped) - expected).abs();
                assert!(
                    error <= 1e-6 * expected.abs().max(1e-30),
                    "{cap} {x}: {capped} {expected}"
                );
            }
        }
    }
}
