//! The record behind every report; `summary.json` is its serialised form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::claim::ClaimResult;
use super::paper::Reported;
use super::unit::Unit;
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

    /// Which models the numbers are of, where there are the paper's beside ours.
    pub fn models(&self) -> Option<String> {
        let with_paper = self
            .rows
            .iter()
            .filter(|row| row.paper.iter().any(Option::is_some));
        let paper = named(with_paper.map(|row| (&*row.paper_model, row)))?;
        let measured = self
            .rows
            .iter()
            .filter(|row| row.cells.iter().any(Option::is_some));
        let here = named(measured.map(|row| (&*row.model, row)));
        let here = here.map_or(String::new(), |here| format!("Here: {here}. "));
        Some(format!("{here}The paper: {paper}."))
    }
}

/// The models of rows, each with the rows that are of it, where there are several; nothing where none is named.
fn named<'a>(rows: impl Iterator<Item = (&'a str, &'a Row)>) -> Option<String> {
    let mut models: Vec<(&str, Vec<&str>)> = Vec::new();
    for (model, row) in rows.filter(|(model, _)| !model.is_empty()) {
        match models.iter_mut().find(|(name, _)| *name == model) {
            Some((_, rows)) => rows.push(&row.name),
            None => models.push((model, vec![&row.name])),
        }
    }
    let several = models.len() > 1;
    let words = models.iter().map(|(model, rows)| match several {
        true => format!("{model} for {}", rows.join(", ")),
        false => (*model).to_owned(),
    });
    (!models.is_empty()).then(|| words.collect::<Vec<_>>().join("; "))
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
    /// One a column, or none at all.
    pub paper: Vec<Option<Reported>>,
    /// The model that was measured, with its size, and that of the paper's numbers; empty where not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub paper_model: String,
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

    #[test]
    fn a_table_says_whose_numbers_stand_side_by_side() {
        let row = |name: &str, model: &str, paper: &str| Row {
            name: name.into(),
            cells: vec![Some(Cell {
                value: 0.1,
                ci95: None,
            })],
            paper: vec![Some(1.0.into())],
            model: model.into(),
            paper_model: paper.into(),
        };
        let models = |rows: &[Row]| {
            let table = Table {
                rows: rows.to_vec(),
                ..Table::default()
            };
            table.models()
        };
        let [a, b] = ["SFT", "DPO"].map(|name| row(name, "ours (1M)", "theirs (7B)"));
        assert_eq!(
            models(&[a.clone(), b]).unwrap(),
            "Here: ours (1M). The paper: theirs (7B)."
        );
        let c = row("small", "less (0.1M)", "theirs (1B)");
        assert_eq!(
            models(&[a, c]).unwrap(),
            "Here: ours (1M) for SFT; less (0.1M) for small. The paper: theirs (7B) for SFT; theirs (1B) for small."
        );
        let mut alone = row("SFT", "ours (1M)", "theirs (7B)");
        alone.paper = vec![None];
        assert_eq!(models(&[alone]), None);
    }
}
