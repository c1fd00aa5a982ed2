//! A plan written back as a recipe, with every layer and default filled in.

use serde_json::{Value as Json, json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value, value};

use super::{PaperRow, Plan};
use crate::report::{Direction, Finding, Reported};

/// The recipe text of a plan. It plans to the same stages, without profile or arguments.
pub(super) fn to_toml(plan: &Plan) -> String {
    let mut document = DocumentMut::new();
    for (key, text) in [
        ("title", &plan.title),
        ("about", &plan.about),
        ("paper", &plan.paper),
    ] {
        if !text.is_empty() {
            document[key] = value(text);
        }
    }
    document["seeds"] = item(&json!(plan.seeds));
    document["outputs"] = item(&json!(plan.outputs));
    let mut stages = Table::new();
    stages.set_implicit(true);
    for stage in &plan.stages {
        let mut table = Table::new();
        table["kind"] = value(stage.kind);
        table["per_seed"] = value(stage.per_seed);
        fill(&mut table, &stage.settings);
        stages.insert(&stage.name, Item::Table(table));
    }
    document["stage"] = Item::Table(stages);
    let claims = plan.claims.iter().map(|claim| {
        let side = |metric: &super::Metric| format!("{}.{}", metric.stage, metric.metric);
        json!({
            "id": claim.id, "statement": claim.statement, "paper": claim.paper,
            "better": side(&claim.better), "than": side(&claim.than),
            "by": claim.by, "lower": claim.direction == Direction::Lower,
            "same": claim.direction == Direction::Same,
            "paper_findings": claim.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    });
    list(&mut document, "claim", claims.collect());
    let tables = plan.tables.iter().map(|table| {
        let mut entry = json!({"title": table.title, "rows": table.rows, "columns": table.columns});
        if !table.paper.is_empty() {
            entry["paper"] = table.paper.iter().map(|row| numbers(row)).collect();
        }
        let row = |row: &PaperRow| json!({"name": row.name, "model": row.model, "values": numbers(&row.values)});
        entry["paper_rows"] = table.paper_rows.iter().map(row).collect();
        entry
    });
    list(&mut document, "table", tables.collect());
    let header = format!(
        "# {}, profile {}, as it was run: every value that took part.\n",
        plan.name, plan.profile
    );
    header + &document.to_string()
}

/// A row of the paper's numbers.
fn numbers(row: &[Option<Reported>]) -> Json {
    let number = |number: &Option<Reported>| number.map_or(json!("-"), |number| json!(number));
    row.iter().map(number).collect()
}

/// A finding says its direction by its difference, where it has one.
fn finding(finding: &Finding) -> Json {
    match finding.difference {
        Some(difference) => json!({"model": finding.model, "difference": difference}),
        None => json!({"model": finding.model, "direction": finding.direction}),
    }
}

fn list(document: &mut DocumentMut, key: &str, entries: Vec<Json>) {
    if entries.is_empty() {
        return;
    }
    let mut tables = toml_edit::ArrayOfTables::new();
    for entry in entries {
        let mut table = Table::new();
        fill(&mut table, &entry);
        tables.push(table);
    }
    document[key] = Item::ArrayOfTables(tables);
}

/// Puts the entries of a JSON object into a table.
fn fill(table: &mut Table, entries: &Json) {
    for (key, entry) in entries.as_object().into_iter().flatten() {
        let entry = match entry {
            Json::Object(_) => {
                let mut inner = Table::new();
                fill(&mut inner, entry);
                Item::Table(inner)
            }
            _ => item(entry),
        };
        table.insert(key, entry);
    }
}

fn item(json: &Json) -> Item {
    plain(json).map_or(Item::None, Item::Value)
}

/// The TOML value of a JSON value; TOML has no null.
fn plain(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(flag) => (*flag).into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64()?.into(),
        },
        Json::String(text) => text.into(),
        Json::Array(items) => items.iter().filter_map(plain).collect::<Array>().into(),
        Json::Object(map) => {
            let entries = map
                .iter()
                .filter_map(|(key, json)| Some((key, plain(json)?)));
            entries.collect::<InlineTable>().into()
        }
    })
}
