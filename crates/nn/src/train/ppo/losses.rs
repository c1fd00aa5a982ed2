//! PPO's clipped losses (Schulman et al., arXiv 1707.06347), entry by entry; a caller weighs and sums them.

use burn::tensor::{Tensor, backend::Backend};

/// Losses of tokens (or of whole replies), and which of them the clipping decided.
pub struct Clipped<B: Backend> {
    /// `[entries]`
    pub losses: Tensor<B, 1>,
    /// 1 where the clipped term is the larger loss, else 0; `[entries]`.
    pub clipped: Tensor<B, 1>,
}

/// `max(-A r, -A clip(r, 1 - e, 1 + e))` with `r = exp(log_ratio)` (equation 7, negated): no gain from moving a
/// probability further than `cliprange` from where it was when the reply was sampled.
///
/// # Shapes
///
/// - `log_ratio`, `advantages`: `[entries]`
pub fn policy<B: Backend>(
    log_ratio: Tensor<B, 1>,
    advantages: Tensor<B, 1>,
    cliprange: f64,
) -> Clipped<B> {
    let ratio = log_ratio.exp();
    let within = ratio.clone().clamp(1.0 - cliprange, 1.0 + cliprange);
    let slope = advantages.neg();
    larger(ratio * slope.clone(), within * slope)
}

/// `max((V - R)^2, (clip(V, V_old - e, V_old + e) - R)^2) / 2`, as OpenAI's baselines and TRL have it.
///
/// # Shapes
///
/// - `values`, `old`, `returns`: `[entries]`
pub fn value<B: Backend>(
    values: Tensor<B, 1>,
    old: Tensor<B, 1>,
    returns: Tensor<B, 1>,
    cliprange_value: f64,
) -> Clipped<B> {
    let moved = values.clone() - old.clone();
    let within = old + moved.clamp(-cliprange_value, cliprange_value);
    let half_square = |error: Tensor<B, 1>| error.clone().mul(error).mul_scalar(0.5);
    larger(
        half_square(values - returns.clone()),
        half_square(within - returns),
    )
}

fn larger<B: Backend>(free: Tensor<B, 1>, clipped: Tensor<B, 1>) -> Clipped<B> {
    let decided = clipped.clone().greater(free.clone()).float();
    Clipped {
        losses: free.max_pair(clipped),
        clipped: decided,
    }
}
