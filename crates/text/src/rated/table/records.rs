//! The records of a table, whatever its form.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use crate::csv::csv_rows;
use crate::lines::{BadLines, numbered, read_utf8};
use crate::rated::utterances::shown;

/// A row, or the part of it that is one rater's.
pub struct Record {
    /// The line on which it begins; 1 in a list.
    pub line: usize,
    /// Its number in a list, from 1.
    pub item: Option<usize>,
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

/// Where in a list a row is, ahead of a message.
pub fn place(item: Option<usize>) -> String {
    let item = item.map(|item| format!("item {item} of the list: "));
    item.unwrap_or_default()
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

/// Reads a table's records. One whose column `ratings` is a list becomes a record for each of its items.
///
/// # Errors
/// An unreadable file; rows that cannot be read are left with `bad`.
pub fn records(path: &Path, ratings: Option<&str>, bad: &mut BadLines) -> Result<Vec<Record>> {
    let text = read_utf8(path)?;
    let mut records = Vec::new();
    for (line, item, row) in rows(&text, bad) {
        match split(row, ratings) {
            Ok(found) => {
                let parts = found.into_iter().enumerate();
                records.extend(parts.map(|(part, cells)| Record {
                    line,
                    item,
                    part,
                    cells,
                }));
            }
            Err(message) => bad.add(line, place(item) + &message),
        }
    }
    Ok(records)
}

type Row = (usize, Option<usize>, Map<String, Value>);

/// JSON where the file begins as such, else CSV.
fn rows(text: &str, bad: &mut BadLines) -> Vec<Row> {
    match text.trim_start().chars().next() {
        Some('[') => list(text, bad),
        Some('{') => json_lines(text, bad),
        _ => csv(text, bad),
    }
}

fn list(text: &str, bad: &mut BadLines) -> Vec<Row> {
    let items: Vec<Value> = match serde_json::from_str(text) {
        Ok(items) => items,
        Err(error) => {
            bad.add(error.line(), format!("not a JSON list: {error}"));
            return Vec::new();
        }
    };
    let mut rows = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Value::Object(row) => rows.push((1, Some(index + 1), row)),
            other => {
                let message = format!("expected an object, found {}", shown(&other));
                bad.add(1, place(Some(index + 1)) + &message);
            }
        }
    }
    rows
}

fn json_lines(text: &str, bad: &mut BadLines) -> Vec<Row> {
    let mut rows = Vec::new();
    for (line, text) in numbered(text) {
        match serde_json::from_str(text) {
            Ok(Value::Object(row)) => rows.push((line, None, row)),
            Ok(other) => bad.add(line, format!("expected an object, found {}", shown(&other))),
            Err(error) => bad.add(
                line,
                format!("not a JSON object: {error}; expected one on each line, or a list of them"),
            ),
        }
    }
    rows
}

/// The separator is whichever of them the header has most of.
fn csv(text: &str, bad: &mut BadLines) -> Vec<Row> {
    let header = text.lines().next().unwrap_or_default();
    let separator = [b',', b';', b'\t']
        .into_iter()
        .rev()
        .max_by_key(|separator| header.matches(char::from(*separator)).count())
        .unwrap_or(b',');
    let mut rows = csv_rows(text, separator, bad).into_iter();
    let (_, header) = rows.next().unwrap_or_default();
    let header: Vec<&str> = header.iter().map(|name| name.trim()).collect();
    if let Some(name) = (1..header.len()).find(|at| header[..*at].contains(&header[*at])) {
        bad.add(1, format!("two columns are named {:?}", header[name]));
    }
    let mut found = Vec::new();
    for (line, cells) in rows {
        if cells.len() != header.len() {
            let message = format!("expected {} cells, found {}", header.len(), cells.len());
            bad.add(line, message);
            continue;
        }
        let named = header
            .iter()
            .zip(cells)
            .filter(|(name, _)| !name.is_empty());
        let row = named.map(|(name, cell)| ((*name).to_owned(), Value::String(cell)));
        found.push((line, None, row.collect()));
    }
    found
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
                bad.add(record.line, place(record.item) + &message);
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
