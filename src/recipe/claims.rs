//! The paper's claims and the result tables, as a recipe declares them.

mod paper;

use std::collections::BTreeSet;

pub use paper::PaperRow;
use serde::{Deserialize, Serialize};

use crate::report::{Direction, Finding, Reported};
use crate::stage::settings::keys::{Keys, LARGE, brief, suggest};

/// A number that a stage leaves: `"rank-dpo.hits"` in a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// The stage.
    pub stage: String,
    /// The name of the number.
    pub metric: String,
}

/// A statement of the paper that the measures bear out or do not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Short name.
    pub id: String,
    /// The statement, in our own words.
    pub statement: String,
    /// What the paper reports; may be empty.
    pub paper: String,
    /// The same difference as the paper found it, by its models.
    pub findings: Vec<Finding>,
    /// The side said to be better.
    pub better: Metric,
    /// The side it is compared with.
    pub than: Metric,
    /// How far `better` must be above `than` (below, or at most apart from it, by `direction`), in the
    /// metric's unit.
    pub by: f64,
    pub direction: Direction,
}

/// A row of a result table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What the row is called.
    pub name: String,
    /// The stage whose numbers it shows.
    pub stage: String,
    /// The model of the paper's numbers in this row, with its size; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub paper_model: String,
}

/// A column of a result table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What the column is called.
    pub name: String,
    /// The name of the number; `PREFIX.*` stands for a column each for all that begin with `PREFIX.`, the
    /// `*` in `name` for the rest of theirs.
    pub metric: String,
}

impl Column {
    /// What the names of the numbers begin with, if it stands for several.
    pub fn prefix(&self) -> Option<&str> {
        self.metric.strip_suffix('*')
    }
}

/// A result table, with the paper's numbers where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Title.
    pub title: String,
    /// Rows.
    pub rows: Vec<Row>,
    /// Columns.
    pub columns: Vec<Column>,
    /// The paper's numbers, a list a row and a number a column; empty if the paper has none.
    pub paper: Vec<Vec<Option<Reported>>>,
    /// Further rows of the paper's.
    pub paper_rows: Vec<PaperRow>,
}

/// The stages that claims and tables may name.
pub(super) struct Stages<'a> {
    pub declared: Vec<&'a str>,
    pub reached: &'a BTreeSet<String>,
}

impl Stages<'_> {
    /// What is wrong with naming `stage` in a recipe, if anything.
    fn unknown(&self, stage: &str) -> Option<String> {
        (!self.declared.contains(&stage)).then(|| {
            let suggestion = suggest(stage, "stages", &self.declared);
            format!("unknown stage {}{suggestion}", brief(stage))
        })
    }

    /// What is wrong with counting on `stage` in this profile, if anything.
    fn missing(&self, stage: &str) -> Option<String> {
        self.unknown(stage).or_else(|| {
            (!self.reached.contains(stage)).then(|| {
                format!("stage {stage} is not in the plan of this profile; add it to outputs")
            })
        })
    }
}

pub(super) fn read_claims(keys: &mut Keys<'_>, stages: &Stages<'_>) -> Vec<Claim> {
    let mut ids = BTreeSet::new();
    keys.each_table("claim", |keys| {
        let claim = Claim {
            id: keys.string("id", None),
            statement: keys.string("statement", None),
            paper: keys.string("paper", ""),
            findings: paper::findings(keys),
            better: metric(keys, "better", stages),
            than: metric(keys, "than", stages),
            by: keys.float("by", 0.0, 0.0..=LARGE),
            direction: direction(keys),
        };
        if keys.has("id") && !ids.insert(claim.id.clone()) {
            keys.problem(
                "id",
                format!("a second claim called {:?}", brief(&claim.id)),
            );
        }
        claim
    })
}

fn direction(keys: &mut Keys<'_>) -> Direction {
    let (lower, same) = (keys.bool("lower", false), keys.bool("same", false));
    if same && !keys.has("by") {
        keys.problem("same", "say within how much of zero with by");
    }
    match (lower, same) {
        (true, true) => {
            keys.problem(
                "same",
                "a claim is of a decrease (lower) or of no change (same)",
            );
            Direction::Same
        }
        (true, false) => Direction::Lower,
        (false, true) => Direction::Same,
        (false, false) => Direction::Higher,
    }
}

fn metric(keys: &mut Keys<'_>, key: &str, stages: &Stages<'_>) -> Metric {
    let text = keys.string(key, None);
    let (stage, metric) = text.split_once('.').unwrap_or((&text, ""));
    if !text.is_empty() && (stage.is_empty() || metric.is_empty()) {
        keys.problem(
            key,
            format!("expected \"STAGE.METRIC\", found {:?}", brief(&text)),
        );
    } else if !text.is_empty()
        && let Some(message) = stages.missing(stage)
    {
        keys.problem(key, message);
    }
    Metric {
        stage: stage.into(),
        metric: metric.into(),
    }
}

/// The tables, without the rows and tables that are of stages of other profiles alone.
pub(super) fn read_tables(keys: &mut Keys<'_>, stages: &Stages<'_>) -> Vec<Table> {
    let mut tables = keys.each_table("table", |keys| {
        let title = keys.string("title", None);
        let paper_model = keys.string("paper_model", "");
        let rows = keys.each_table("rows", |keys| {
            let row = Row {
                name: keys.string("name", None),
                stage: keys.string("stage", None),
                paper_model: keys.string("paper_model", &*paper_model),
            };
            if let Some(message) = stages.unknown(&row.stage).filter(|_| !row.stage.is_empty()) {
                keys.problem("stage", message);
            }
            row
        });
        let columns = keys.each_table("columns", column);
        for (key, empty) in [("rows", rows.is_empty()), ("columns", columns.is_empty())] {
            if empty && !keys.has(key) {
                keys.problem(key, "required: expected a list of tables");
            }
        }
        let several: Vec<bool> = columns.iter().map(|it| it.prefix().is_some()).collect();
        let paper = paper::numbers(keys, rows.len(), &several);
        let paper_rows = paper::rows(keys, &several);
        let planned: Vec<bool> = rows
            .iter()
            .map(|row| stages.reached.contains(&row.stage))
            .collect();
        Table {
            title,
            rows: kept(rows, &planned),
            columns,
            paper: kept(paper, &planned),
            paper_rows,
        }
    });
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn column(keys: &mut Keys<'_>) -> Column {
    let column = Column {
        name: keys.string("name", None),
        metric: keys.string("metric", None),
    };
    let stars = [&column.name, &column.metric].map(|text| text.matches('*').count());
    if stars != [0, 0] && (stars != [1, 1] || !column.metric.ends_with(".*")) {
        let message =
            "expected one * at the end, after a dot, and one in name for what it stands for";
        keys.problem("metric", message);
    }
    column
}

fn kept<T>(rows: Vec<T>, planned: &[bool]) -> Vec<T> {
    let paired = rows.into_iter().zip(planned);
    paired
        .filter_map(|(row, &planned)| planned.then_some(row))
        .collect()
}
