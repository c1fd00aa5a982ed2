//! How far the policy is from its reference: estimators of the KL, and a controller of what it costs.

use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

/// An estimator of the KL from policy to reference by one token drawn from the policy (Schulman,
/// <http://joschu.net/blog/kl-approx.html>). Both are without bias; `k3` is never negative and varies less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KlEstimator {
    /// `log pi - log ref`
    K1,
    /// `exp(log ref - log pi) - 1 - (log ref - log pi)`
    K3,
}

impl KlEstimator {
    /// The estimate from the token's log-probs.
    pub fn of(self, policy: f64, reference: f64) -> f64 {
        let ratio = reference - policy;
        match self {
            Self::K1 => -ratio,
            Self::K3 => ratio.exp_m1() - ratio,
        }
    }
}

/// [`KlEstimator::K3`] with a gradient: GRPO's penalty (Shao et al., arXiv 2402.03300, equation 4).
///
/// # Shapes
///
/// - `policy`, `reference`, output: `[tokens]`
pub fn k3<B: Backend>(policy: Tensor<B, 1>, reference: Tensor<B, 1>) -> Tensor<B, 1> {
    let ratio = reference - policy;
    ratio.clone().exp().sub_scalar(1.0) - ratio
}

/// A controller that moves the penalty's coefficient so that the KL stays near a target (Ziegler et al., arXiv
/// 1909.08593, section 2.2; TRL's `AdaptiveKLController`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdaptiveKl {
    /// The KL to keep to, in nats a reply; above 0.
    pub target: f64,
    /// Episodes in which an error of 20% or more multiplies the coefficient by about `e^0.2`; above 0.
    pub horizon: f64,
}

/// TRL's.
impl Default for AdaptiveKl {
    fn default() -> Self {
        Self {
            target: 6.0,
            horizon: 10000.0,
        }
    }
}

impl AdaptiveKl {
    /// The coefficient after `episodes` episodes of mean KL `kl` under `coefficient`.
    pub fn next(&self, coefficient: f64, kl: f64, episodes: usize) -> f64 {
        let error = (kl / self.target - 1.0).clamp(-0.2, 0.2);
        coefficient * (1.0 + error * episodes as f64 / self.horizon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over every token of two distributions, both estimators' means are the KL itself, and k3 is nowhere negative.
    #[test]
    fn estimators_have_the_kl_as_their_mean() {
        let (policy, reference) = ([0.1f64, 0.2, 0.7], [0.5f64, 0.3, 0.2]);
        let both = || policy.iter().zip(&reference);
        let exact: f64 = both().map(|(p, q)| p * (p / q).ln()).sum();
        for estimator in [KlEstimator::K1, KlEstimator::K3] {
            let mean: f64 = both().map(|(p, q)| p * estimator.of(p.ln(), q.ln())).sum();
            assert!(
                (mean - exact).abs() < 1e-12,
                "{estimator:?}: {mean} for {exact}"
            );
        }
        for (p, q) in both() {
            assert!(KlEstimator::K3.of(p.ln(), q.ln()) >= 0.0);
        }
        assert_eq!(KlEstimator::K1.of(-1.0, -3.0), 2.0);
        assert!((KlEstimator::K3.of(-1.0, -3.0) - ((-2f64).exp() + 1.0)).abs() < 1e-12);
        assert_eq!(KlEstimator::K3.of(-1.5, -1.5), 0.0);
    }

    #[test]
    fn the_controller_steers_towards_its_target_within_bounds() {
        let control = AdaptiveKl {
            target: 6.0,
            horizon: 1000.0,
        };
        assert_eq!(control.next(0.2, 6.0, 100), 0.2);
        assert!((control.next(0.2, 6.6, 100) - 0.2 * 1.01).abs() < 1e-12);
        // Errors count as 20% at most, either way.
        assert!((control.next(0.2, 60.0, 100) - 0.2 * 1.02).abs() < 1e-12);
        assert!((control.next(0.2, -3.0, 100) - 0.2 * 0.98).abs() < 1e-12);
    }
}
