//! The record behind every report; `summary.json` is its serialised form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::eval::{Interval, mean};

/// One run of one recipe under one profile, over all its seeds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSummary {
    /// Recipe name, as `make exp-NAME` takes it.
    pub recipe: String,
    pub profile: String,
    pub backend: String,
    pub seeds: Vec<u64>,
    pub stages: Vec<StageSummary>,
    /// By `STAGE.METRIC`, as in `rank-dpo.hits`.
    pub metrics: BTreeMap<String, MetricSummary>,
    pub claims: Vec<ClaimResult>,
    pub title: String,
    /// Citation of the paper that the recipe follows; may be empty.
    pub paper: String,
    pub about: String,
    pub tables: Vec<Table>,
    pub curves: Vec<Curve>,
    pub samples: Vec<SampleBlock>,
    pub machine: Machine,
    /// Trainable and frozen parameters of the model, all together.
    pub parameters: Option<u64>,
    /// Wall time of this invocation; reused stages cost it nothing.
    pub wall_seconds: f64,
    /// What the gains cost: sentences, shown as a list.
    pub costs: Vec<String>,
    /// Anything else that a reader must know to judge the numbers.
    pub notes: Vec<String>,
    /// The `--set` overrides, as `a.b=c`.
    pub overrides: Vec<String>,
    /// What was given as `DATA=`, `MODEL=` or `LARGER=`, by that name.
    pub given: BTreeMap<String, String>,
}

/// One run of one stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageSummary {
    pub name: String,
    pub kind: String,
    /// Absent for a stage that runs once for all seeds.
    pub seed: Option<u64>,
    pub hash: String,
    /// How long it took when it ran, also if that was earlier.
    pub seconds: f64,
    /// Whether a finished artifact was found instead of running.
    pub reused: bool,
    /// Path of the artifact.
    pub artifact: String,
    /// Such as "12 identical pairs dropped".
    pub notes: Vec<String>,
}

/// What a number counts, hence how it prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A share of one, shown in percent (0.381 as 38.1); a difference is shown in points.
    Share,
    /// A whole number of things.
    Count,
    /// A duration in seconds.
    Seconds,
    /// Shown as it is.
    #[default]
    Plain,
}

/// A metric over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
    #[serde(with = "crate::store::numbers")]
    pub mean: f64,
    #[serde(with = "crate::store::numbers")]
    pub per_seed: Vec<f64>,
    #[serde(default, with = "crate::store::numbers")]
    pub ci95: Option<[f64; 2]>,
    #[serde(default)]
    pub unit: Unit,
}

impl MetricSummary {
    /// A metric known only as one number a seed: its mean, without an interval.
    pub fn of_seeds(per_seed: Vec<f64>, unit: Unit) -> Self {
        Self {
            mean: mean(&per_seed),
            per_seed,
            ci95: None,
            unit,
        }
    }

    /// A metric with a bootstrap interval.
    pub fn of_interval(interval: &Interval, unit: Unit) -> Self {
        Self {
            mean: interval.estimate,
            per_seed: interval.per_seed.clone(),
            ci95: Some(interval.ci95()),
            unit,
        }
    }
}

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
}

/// What a claim says of a difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It is above zero.
    #[default]
    Higher,
    /// It is below zero.
    Lower,
    /// It is too small to matter.
    Same,
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

/// A result table; measured cells stand beside the paper's numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    pub title: String,
    pub note: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

impl Table {
    /// Whether any row has a number of the paper's in this column.
    pub fn has_paper(&self, column: usize) -> bool {
        let given = |row: &Row| matches!(row.paper.get(column), Some(Some(_)));
        self.rows.iter().any(given)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Column {
    pub name: String,
    pub unit: Unit,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    pub name: String,
    /// One a column; absent where nothing was measured.
    pub cells: Vec<Option<Cell>>,
    /// One a column, or none at all: numbers as the paper prints them (percent, not shares).
    pub paper: Vec<Option<f64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    #[serde(with = "crate::store::numbers")]
    pub value: f64,
    #[serde(default, with = "crate::store::numbers")]
    pub ci95: Option<[f64; 2]>,
}

impl From<&MetricSummary> for Cell {
    fn from(metric: &MetricSummary) -> Self {
        Self {
            value: metric.mean,
            ci95: metric.ci95,
        }
    }
}

/// A line chart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curve {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Series {
    pub name: String,
    /// `(x, y)` in order of x; a point that is not finite leaves a gap.
    #[serde(with = "crate::store::numbers")]
    pub points: Vec<(f64, f64)>,
}

/// One dialogue and what each model replies to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SampleBlock {
    /// What every model is given before the dialogue, line by line.
    pub head: Vec<String>,
    pub history: Vec<Utterance>,
    pub replies: Vec<Reply>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Utterance {
    pub speaker: String,
    pub text: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    pub model: String,
    pub text: String,
    /// The judge's word, such as "grounded" or "contradicting".
    pub verdict: Option<String>,
}

/// Where the run was made; `Machine::this()` fills it in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gb: Option<f64>,
    pub os: String,
    /// Version of this program.
    pub version: String,
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
