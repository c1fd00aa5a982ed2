//! f-divergences that hold a policy to its reference (f-DPO, Wang et al., arXiv 2309.16240).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::check;

/// Where exponents are held, so that squares of scores stay within f32. Beyond it a gradient is 0.
const LARGEST_EXPONENT: f64 = 40.0;

/// The divergence whose derivative `f'`, at `u = policy / reference`, takes the place of `log u` in a
/// margin. The term that depends on the prompt alone cancels only in a difference of two completions, so
/// only losses made of a [`Margin`](crate::objective::Margin) have one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Divergence {
    /// `f'(u) = log u`: DPO itself.
    #[default]
    ReverseKl,
    /// `f'(u) = 1 - 1/u`.
    ForwardKl,
    /// `f'(u) = log(2u / (1 + u))`.
    JensenShannon,
    /// `f'(u) = (u^(a-1) - 1) / (a - 1)` with TRL's coefficient `a` in [0, 1], which is 1 minus the paper's
    /// alpha: 0 is the forward KL, 1 the reverse one.
    Alpha(f64),
}

impl Divergence {
    /// TRL's default of the coefficient of [`Alpha`](Self::Alpha).
    pub const ALPHA: f64 = 0.5;

    pub(super) fn check(self) -> Result<(), String> {
        match self {
            Self::Alpha(coef) => {
                let within = (0.0..=1.0).contains(&coef);
                check::holds(within, "f_alpha_divergence_coef", coef, "in [0, 1]")
            }
            _ => Ok(()),
        }
    }

    /// `f'(u)` of `ratio = log u`.
    pub fn score<B: Backend>(self, ratio: Tensor<B, 1>) -> Tensor<B, 1> {
        match self {
            Self::ReverseKl => ratio,
            Self::ForwardKl => power(ratio, -1.0),
            Self::JensenShannon => log_twice_sigmoid(ratio),
            Self::Alpha(coef) => power(ratio, coef - 1.0),
        }
    }
}

/// `(u^p - 1) / p` of `ratio = log u`, and its limit `log u` at `p = 0`.
fn power<B: Backend>(ratio: Tensor<B, 1>, p: f64) -> Tensor<B, 1> {
    if p == 0.0 {
        return ratio;
    }
    expm1(ratio.mul_scalar(p).clamp_max(LARGEST_EXPONENT)).div_scalar(p)
}

/// `log(2 / (1 + exp(-x)))` without the cancellation of `log 2` near 0: for `x` of at least 0 it is
/// `-log(1 + (exp(-x) - 1) / 2)`, and else `x` more than at `-x`.
fn log_twice_sigmoid<B: Backend>(x: Tensor<B, 1>) -> Tensor<B, 1> {
    let negative = x.clone().lower_elem(0.0);
    let size = x.clone().mask_where(negative.clone(), x.clone().neg());
    let half = expm1(size.neg()).mul_scalar(0.5);
    x.mask_fill(negative.bool_not(), 0.0) - half.log1p()
}

/// `exp(x) - 1` without its cancellation near 0.
fn expm1<B: Backend>(x: Tensor<B, 1>) -> Tensor<B, 1> {
    let half = x.clone().mul_scalar(0.5).tanh();
    half * x.exp().add_scalar(1.0)
}
