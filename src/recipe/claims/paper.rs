//! The paper's numbers, as tables and claims tell them.

use serde::{Deserialize, Serialize};

use crate::report::{Direction, Finding, Reported};
use crate::stage::settings::keys::{Keys, LARGE, Node, Value};

/// A row of the paper's numbers that none of ours stands beside, such as another model's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaperRow {
    /// What the row is called.
    pub name: String,
    /// The paper's model, with its size.
    pub model: String,
    /// One a column.
    pub values: Vec<Option<Reported>>,
}

/// A table's own: a list a row, in it a number, a range or `"-"` a column; `several` says of each column whether it stands
/// for several.
pub(super) fn numbers(
    keys: &mut Keys<'_>,
    rows: usize,
    several: &[bool],
) -> Vec<Vec<Option<Reported>>> {
    let Some(node) = keys.raw("paper") else {
        return Vec::new();
    };
    let fits = |table: &Vec<Vec<Option<Reported>>>| {
        table.len() == rows && table.iter().all(|row| row.len() == several.len())
    };
    let table = items(node, |row| items(row, number));
    let Some(table) = table.filter(fits) else {
        let message = format!(
            "expected {rows} lists (one a row), each of {} numbers, [LOW, HIGH] or \"-\" (one a column)",
            several.len()
        );
        keys.problem("paper", message);
        return Vec::new();
    };
    for row in &table {
        stars(keys, "paper", row, several);
    }
    table
}

/// Rows of the paper's alone.
pub(super) fn rows(keys: &mut Keys<'_>, several: &[bool]) -> Vec<PaperRow> {
    keys.each_table("paper_rows", |keys| PaperRow {
        name: keys.string("name", None),
        model: keys.string("model", None),
        values: values(keys, several),
    })
}

fn values(keys: &mut Keys<'_>, several: &[bool]) -> Vec<Option<Reported>> {
    let node = keys.raw("values");
    let found = node.and_then(|node| items(node, number));
    match found.filter(|values| values.len() == several.len()) {
        Some(values) => {
            stars(keys, "values", &values, several);
            values
        }
        None => {
            let message = format!(
                "expected {} numbers, [LOW, HIGH] or \"-\" (one a column)",
                several.len()
            );
            keys.problem("values", message);
            vec![None; several.len()]
        }
    }
}

/// A column that stands for several has no one number.
fn stars(keys: &mut Keys<'_>, key: &str, values: &[Option<Reported>], several: &[bool]) {
    let mut both = values.iter().zip(several);
    if both.any(|(value, &several)| value.is_some() && several) {
        keys.problem(
            key,
            "columns with * have no numbers of a paper; write \"-\"",
        );
    }
}

fn items<T>(node: &Node, read: impl Fn(&Node) -> Option<T>) -> Option<Vec<T>> {
    match &node.value {
        Value::Array(nodes) => nodes.iter().map(read).collect(),
        _ => None,
    }
}

fn number(node: &Node) -> Option<Option<Reported>> {
    let single = |node: &Node| match &node.value {
        Value::Int(value) => Some(*value as f64),
        Value::Float(value) if value.is_finite() => Some(*value),
        _ => None,
    };
    match &node.value {
        Value::Str(text) if text == "-" => Some(None),
        Value::Array(ends) => match ends.as_slice() {
            [low, high] => {
                let ends = [single(low)?, single(high)?];
                (ends[0] <= ends[1]).then_some(Some(Reported::Range(ends)))
            }
            _ => None,
        },
        _ => single(node).map(|value| Some(Reported::Number(value))),
    }
}

/// A claim's: one by `paper_difference` or `paper_direction`, of `paper_model`; or several by `paper_findings`.
pub(super) fn findings(keys: &mut Keys<'_>) -> Vec<Finding> {
    let several = keys.each_table("paper_findings", |keys| {
        finding(keys, ["model", "difference", "direction"])
    });
    let own = ["paper_model", "paper_difference", "paper_direction"];
    if !own.iter().any(|key| keys.has(key)) {
        return several;
    }
    if keys.has("paper_findings") {
        let message = "one finding by paper_difference, or a list by paper_findings";
        keys.problem("paper_findings", message);
    }
    vec![finding(keys, own)]
}

fn finding(keys: &mut Keys<'_>, [model, difference, direction]: [&str; 3]) -> Finding {
    let model = keys.string(model, "");
    let found = keys.optional_float(difference, -LARGE..=LARGE);
    let told = keys.optional_one_of(
        direction,
        &[
            ("higher", Direction::Higher),
            ("lower", Direction::Lower),
            ("same", Direction::Same),
        ],
    );
    match (found, told) {
        (Some(found), told) => {
            if told.is_some() {
                keys.problem(direction, format!("{difference} says it; leave this out"));
            }
            Finding::of(model, found)
        }
        (None, told) => {
            if told.is_none() && !keys.has(difference) && !keys.has(direction) {
                keys.problem(
                    difference,
                    format!("required: a number in the metric's unit, or {direction}"),
                );
            }
            Finding {
                model,
                difference: None,
                direction: told.unwrap_or_default(),
            }
        }
    }
}
