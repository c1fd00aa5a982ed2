//! The records of a table, whatever its form.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use crate::formats::each;
use crate::lines::BadLines;
use crate::rated::utterances::shown;

/// A row, or the part of it that is one rater's.
pub struct Record {
    /// The line on which it begins, or its number in a file without lines.
    pub line: usize,
    /// Its number among the raters of the row, from 0.
    pub part: usize,
    /// Columns and what they hold, objects within it brought to the top.
    pub cells: Map<String, Value>,
}

impl Record {
    /// A column as text, empty where there is none.
    pub fn text(&self, column: Option<&str>) -> Result<String, String> {
        let cell = column.and_then(|column| self.cells.get(column));
        match cell {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.trim().to_owned()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(other) => Err(format!(
                "{}: expected a name or a number, found {}",
                column.unwrap_or_default(),
                shown(other)
            )),
        }
    }
}

/// The columns of all records, in the order of their first appearance.
pub fn columns_of(records: &[Record]) -> Vec<String> {
    let mut known: Map<String, Value> = Map::new();
    for record in records {
        for name in record.cells.keys() {
            if !known.contains_key(name) {
                known.insert(name.clone(), Value::Null);
            }
        }
    }
    known.into_iter().map(|(name, _)| name).collect()
}

/// Reads a table's records, and what is wrong with others. One whose column `ratings` is a list becomes a record for each
/// of its items.
///
/// # Errors
/// An unreadable file.
pub fn records(path: &Path, ratings: Option<&str>) -> Result<(Vec<Record>, BadLines)> {
    let mut bad = BadLines::new(path);
    let mut records = Vec::new();
    each(path, &mut bad, |line, row| {
        let parts = split(row, ratings)?.into_iter().enumerate();
        records.extend(parts.map(|(part, cells)| Record { line, part, cells }));
        Ok(())
    })?;
    Ok((records, bad))
}

/// A row as flat records, one for each item of its `ratings`.
fn split(
    mut row: Map<String, Value>,
    ratings: Option<&str>,
) -> Result<Vec<Map<String, Value>>, String> {
    let given = ratings.and_then(|name| row.remove(name));
    let mut base = Map::new();
    flatten(String::new(), row, &mut base);
    let (Some(name), Some(given)) = (ratings, given) else {
        return match ratings {
            Some(name) => {
                let keys: Vec<&String> = base.keys().collect();
                Err(format!(
                    "columns.ratings: there is no key {name:?} among {keys:?}"
                ))
            }
            None => Ok(vec![base]),
        };
    };
    let refused =
        |found: &Value| format!("{name}: expected a list of objects, found {}", shown(found));
    let Value::Array(items) = given else {
        return Err(refused(&given));
    };
    if items.is_empty() {
        return Ok(vec![base]);
    }
    let one = |item: Value| match item {
        Value::Object(item) => {
            let mut cells = base.clone();
            flatten(format!("{name}."), item, &mut cells);
            Ok(cells)
        }
        other => Err(refused(&other)),
    };
    items.into_iter().map(one).collect()
}

/// Brings records that are single turns together: a record for each dialogue as the columns `apart` tell them, whose
/// `text` is a list of pairs of `role` and text. A later turn's value of another column stands, where it has one.
pub fn gather(
    records: Vec<Record>,
    text: &str,
    role: &str,
    apart: &[&str],
    bad: &mut BadLines,
) -> Vec<Record> {
    let mut dialogues: Vec<Record> = Vec::new();
    let mut known: HashMap<Vec<String>, usize> = HashMap::new();
    for mut record in records {
        let read = |column: &&str| record.text(Some(column));
        let key: Result<Vec<String>, String> = apart.iter().map(read).collect();
        let turn: Result<Vec<String>, String> = [role, text].iter().map(read).collect();
        let (key, turn) = match (key, turn) {
            (Ok(key), Ok(turn)) => (key, Value::from(turn)),
            (Err(message), _) | (_, Err(message)) => {
                bad.add(record.line, message);
                continue;
            }
        };
        match known.get(&key) {
            None => {
                known.insert(key, dialogues.len());
                let turns = Value::Array(vec![turn]);
                record.cells.insert(text.to_owned(), turns);
                dialogues.push(record);
            }
            Some(&at) => {
                let cells = &mut dialogues[at].cells;
                if let Some(Value::Array(turns)) = cells.get_mut(text) {
                    turns.push(turn);
                }
                let is_empty = |value: &Value| {
                    value.is_null() || value.as_str().is_some_and(|it| it.trim().is_empty())
                };
                let others = record
                    .cells
                    .into_iter()
                    .filter(|(name, value)| name != text && !is_empty(value));
                cells.extend(others);
            }
        }
    }
    dialogues
}

fn flatten(prefix: String, row: Map<String, Value>, into: &mut Map<String, Value>) {
    for (name, value) in row {
        match value {
            Value::Object(inner) => flatten(format!("{prefix}{name}."), inner, into),
            value => {
                into.insert(format!("{prefix}{name}"), value);
            }
        }
    }
}
