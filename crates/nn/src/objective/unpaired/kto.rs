//! Kahneman-Tversky optimization (KTO, Ethayarajh et al., arXiv 2402.01306, equations 7 and 8).

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::{check, logistic::sigmoid};

/// `w (1 - sigmoid(beta (a - z)))` of a desirable completion, `w (1 - sigmoid(beta (z - a)))` of an
/// undesirable one, with `a` its log-ratio, `z` the step's estimate of the KL, and `w` its class's weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kto {
    /// How strongly the policy is held to the reference; above 0.
    pub beta: f64,
    /// What desirable completions weigh; left to the class counts where not given.
    pub desirable_weight: Option<f64>,
    /// What undesirable completions weigh; left to the class counts where not given.
    pub undesirable_weight: Option<f64>,
}

/// The range in which the paper keeps the classes' total weights, desirable to undesirable (equation 8).
const BALANCE: (f64, f64) = (1.0, 4.0 / 3.0);

/// Weights of desirable and undesirable completions that are 1 where their numbers' ratio is within the
/// paper's range, [1, 4/3]; else the class that is too rare is weighed up to the range's nearest end. Both
/// are 1 where a class is empty.
pub fn default_weights(desirable: usize, undesirable: usize) -> (f64, f64) {
    let ratio = desirable as f64 / undesirable as f64;
    let (low, high) = BALANCE;
    match (desirable, undesirable) {
        (0, _) | (_, 0) => (1.0, 1.0),
        _ if ratio < low => (low / ratio, 1.0),
        _ if ratio > high => (1.0, ratio / high),
        _ => (1.0, 1.0),
    }
}

/// TRL's `beta`; the weights wait for the class counts.
impl Default for Kto {
    fn default() -> Self {
        Self {
            beta: 0.1,
            desirable_weight: None,
            undesirable_weight: None,
        }
    }
}

impl Kto {
    pub(super) fn check(&self) -> Result<(), String> {
        check::positive("beta", self.beta)?;
        if let Some(weight) = self.desirable_weight {
            check::positive("desirable_weight", weight)?;
        }
        match self.undesirable_weight {
            Some(weight) => check::positive("undesirable_weight", weight),
            None => Ok(()),
        }
    }

    /// With weights that were not given taken from the class counts: [`default_weights`] where neither was,
    /// else the one nearest to 1 that brings the classes' total weights into the paper's range.
    pub fn with_counts(self, desirable: usize, undesirable: usize) -> Self {
        let (low, high) = BALANCE;
        let ratio = desirable as f64 / undesirable as f64;
        // Without one of the classes there is nothing to balance.
        let balanced = desirable > 0 && undesirable > 0;
        let nearest_to_one = |low: f64, high: f64| match balanced {
            true => 1f64.clamp(low, high),
            false => 1.0,
        };
        let (of_desirable, of_undesirable) = match (self.desirable_weight, self.undesirable_weight)
        {
            (None, None) => default_weights(desirable, undesirable),
            (Some(up), None) => (up, nearest_to_one(up * ratio / high, up * ratio / low)),
            (None, Some(down)) => (
                nearest_to_one(low * down / ratio, high * down / ratio),
                down,
            ),
            (Some(up), Some(down)) => (up, down),
        };
        Self {
            desirable_weight: Some(of_desirable),
            undesirable_weight: Some(of_undesirable),
            ..self
        }
    }

    /// Weights of desirable and undesirable completions; 1 where neither given nor derived.
    pub fn weights(&self) -> (f64, f64) {
        let or_one = |weight: Option<f64>| weight.unwrap_or(1.0);
        (
            or_one(self.desirable_weight),
            or_one(self.undesirable_weight),
        )
    }

    /// The losses, unweighted, of log-ratios whose `sign` is 1 where desirable and -1 where not.
    pub(super) fn losses<B: Backend>(
        &self,
        ratio: Tensor<B, 1>,
        sign: Tensor<B, 1>,
        kl: f64,
    ) -> Tensor<B, 1> {
        sigmoid(ratio.sub_scalar(kl).mul(sign).mul_scalar(-self.beta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_weights_bring_any_counts_into_the_papers_range() {
        assert_eq!(default_weights(100, 100), (1.0, 1.0));
        assert_eq!(default_weights(120, 100), (1.0, 1.0));
        assert_eq!(default_weights(100, 1000), (10.0, 1.0));
        assert!((default_weights(800, 100).1 - 6.0).abs() < 1e-12);
        assert_eq!(default_weights(0, 7), (1.0, 1.0));
        assert_eq!(default_weights(7, 0), (1.0, 1.0));
        for (desirable, undesirable) in [(1, 9), (17, 19), (3, 2), (4001, 123)] {
            let (up, down) = default_weights(desirable, undesirable);
            let balance = up * desirable as f64 / (down * undesirable as f64);
            assert!((1.0 - 1e-12..=4.0 / 3.0 + 1e-12).contains(&balance));
        }
    }

    #[test]
    fn a_weight_that_is_given_stays_and_the_other_balances_it() {
        let kto = |desirable_weight, undesirable_weight| Kto {
            beta: 0.1,
            desirable_weight,
            undesirable_weight,
        };
        let counted = |d, u| kto(d, u).with_counts(100, 400).weights();
        assert_eq!(counted(None, None), (4.0, 1.0));
        assert_eq!(counted(Some(1.0), None), (1.0, 0.25));
        assert!((counted(None, Some(0.1)).0 - 1.6 / 3.0).abs() < 1e-12);
        assert_eq!(counted(None, Some(0.2)), (1.0, 0.2));
        assert_eq!(counted(Some(3.0), Some(5.0)), (3.0, 5.0));
        assert_eq!(kto(None, Some(2.0)).with_counts(0, 5).weights(), (1.0, 2.0));
    }
}
