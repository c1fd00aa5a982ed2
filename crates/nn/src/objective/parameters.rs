//! What a loss of pairs can be told.

use crate::objective::Divergence;

/// A loss's parameters where they stand in it, by TRL's keys; nothing where it does not take one. In a loss of which
/// nothing was told they are its defaults.
#[derive(Default)]
pub struct Parameters<'a> {
    /// How strongly the policy is held to the reference; above 0.
    pub beta: Option<&'a mut f64>,
    /// Probability that a pair's labels are swapped.
    pub label_smoothing: Option<&'a mut f64>,
    /// Log-probs are a token's mean instead of the completion's sum.
    pub length_average: Option<&'a mut bool>,
    /// What shapes the margin (`f_divergence_type`).
    pub f_divergence: Option<&'a mut Divergence>,
    /// A number that no other loss has, after its key.
    pub own: Option<(&'static str, &'a mut f64)>,
}
