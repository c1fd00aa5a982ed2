//! A claim of a recipe, held against what was measured and beside what the paper found.

use serde::{Deserialize, Serialize};

use super::paper::{Against, Direction, Finding};
use super::unit::Unit;
use crate::eval::Interval;

/// A claim of the recipe, held against the measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    pub id: String,
    pub statement: String,
    /// What the paper found, in words.
    pub paper: String,
    /// The difference found; absent when a stage it needs was not part of the run.
    #[serde(default, with = "crate::store::numbers")]
    pub measured: Option<f64>,
    #[serde(default, with = "crate::store::numbers")]
    pub ci95: Option<[f64; 2]>,
    pub holds: bool,
    #[serde(default, with = "crate::store::numbers")]
    pub per_seed: Vec<f64>,
    /// The smallest difference that counts, or the largest that does not; never negative.
    #[serde(default)]
    pub by: f64,
    #[serde(default)]
    pub direction: Direction,
    #[serde(default)]
    pub unit: Unit,
    /// Why nothing was measured, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The model of the side said to be better, with its size; empty where it is not known, or not one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The same difference as the paper found it, and ours beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<Against>,
}

impl ClaimResult {
    /// A claim that nothing has been measured for.
    pub fn unmeasured(id: &str, statement: &str, paper: &str) -> Self {
        Self {
            id: id.to_owned(),
            statement: statement.to_owned(),
            paper: paper.to_owned(),
            measured: None,
            ci95: None,
            holds: false,
            per_seed: Vec::new(),
            by: 0.0,
            direction: Direction::default(),
            unit: Unit::Plain,
            reason: None,
            model: String::new(),
            against: Vec::new(),
        }
    }

    /// The same, with the reason.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }

    /// Judges the claim: it holds when the estimate is at least `by` in the claimed direction and
    /// the whole 95% interval lies on that side of zero; or, where nothing is to change, when the whole
    /// interval is within `by` of zero.
    pub fn judged(self, difference: &Interval, by: f64, direction: Direction, unit: Unit) -> Self {
        let Interval {
            estimate,
            low,
            high,
            ..
        } = *difference;
        let holds = match direction {
            Direction::Higher => estimate >= by && low > 0.0,
            Direction::Lower => estimate <= -by && high < 0.0,
            Direction::Same => low >= -by && high <= by,
        };
        Self {
            measured: Some(difference.estimate),
            ci95: Some(difference.ci95()),
            holds,
            per_seed: difference.per_seed.clone(),
            by,
            direction,
            unit,
            ..self
        }
    }

    /// The same of a model of ours, beside what the paper found.
    pub fn beside(self, model: String, findings: &[Finding]) -> Self {
        let ours = self.measured.zip(self.ci95);
        let against = findings.iter().map(|finding| Against {
            finding: finding.clone(),
            ours: ours.map(|(measured, ci95)| finding.beside(measured, ci95)),
        });
        Self {
            model,
            against: against.collect(),
            ..self
        }
    }

    /// The verdict, with the reason where nothing was measured.
    pub fn verdict_and_reason(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.verdict()),
            None => self.verdict().to_owned(),
        }
    }

    /// The verdict in words.
    pub fn verdict(&self) -> &'static str {
        match (self.measured, self.holds) {
            (None, _) => "not measured",
            (_, true) => "holds",
            (_, false) => "does not hold",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(estimate: f64, low: f64, high: f64, by: f64, direction: Direction) -> bool {
        let difference = Interval {
            estimate,
            low,
            high,
            per_seed: vec![estimate],
        };
        ClaimResult::unmeasured("id", "statement", "paper")
            .judged(&difference, by, direction, Unit::Share)
            .holds
    }

    #[test]
    fn a_claim_needs_its_size_and_its_side_of_zero() {
        use Direction::{Higher, Lower};
        assert!(judge(0.08, 0.02, 0.14, 0.05, Higher));
        assert!(!judge(0.04, 0.02, 0.06, 0.05, Higher), "too small");
        assert!(!judge(0.08, -0.01, 0.17, 0.05, Higher), "includes zero");
        assert!(
            !judge(-0.08, -0.14, -0.02, 0.05, Higher),
            "the wrong direction"
        );
        assert!(judge(-0.08, -0.14, -0.02, 0.05, Lower));
        assert!(!judge(0.08, 0.02, 0.14, 0.05, Lower));
        assert!(!judge(-0.08, -0.17, 0.01, 0.05, Lower));
    }

    #[test]
    fn a_claim_of_no_change_needs_the_whole_interval_near_zero() {
        let same = |low, high| judge(0.0, low, high, 0.02, Direction::Same);
        assert!(same(-0.01, 0.02));
        assert!(!same(-0.03, 0.01), "it may have fallen");
        assert!(!same(-0.01, 0.03), "it may have risen");
    }

    #[test]
    fn an_unmeasured_claim_says_so() {
        let claim = ClaimResult::unmeasured("id", "statement", "paper");
        assert_eq!(claim.verdict(), "not measured");
    }
}
