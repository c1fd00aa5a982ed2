//! What a file of rows holds: its columns, what stands in them, and rows that are there again.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use anyhow::Result;
use indexmap::IndexMap;
use serde_json::Value;

use crate::BadLines;
use crate::formats::json::kind;
use crate::formats::{Row, each, shards};
use crate::rows::columns::{COMMON, COMPLETED, LABELLED, MESSAGES, PREFERENCE, TEXT};

/// Columns that are counted, and types of one.
const MOST_COLUMNS: usize = 1000;
const MOST_TYPES: usize = 20;

/// The form of rows in TRL's columns that a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Preferences,
    Labels,
    Completions,
}

impl Form {
    /// The stage kind that reads it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Preferences => "preferences",
            Self::Labels => "labels",
            Self::Completions => "completions",
        }
    }

    fn of(has: impl Fn(&str) -> bool) -> Option<Self> {
        if has("chosen") && has("rejected") {
            Some(Self::Preferences)
        } else if has("completion") && has("label") {
            Some(Self::Labels)
        } else if has("messages") || has("completion") || has("text") {
            Some(Self::Completions)
        } else {
            None
        }
    }

    /// The columns that it reads where there are these.
    fn reads(self, has: impl Fn(&str) -> bool) -> &'static [&'static str] {
        match self {
            Self::Preferences => PREFERENCE,
            Self::Labels => LABELLED,
            Self::Completions if has("messages") => MESSAGES,
            Self::Completions if has("completion") => COMPLETED,
            Self::Completions => TEXT,
        }
    }
}

/// What is known of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnSurvey {
    /// What its values are, with the number of each.
    pub types: IndexMap<String, usize>,
    /// Rows in which it is null, or is not at all.
    pub nulls: usize,
    /// Whether a stage that reads such rows reads it.
    pub read: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub format: &'static str,
    pub files: usize,
    pub rows: usize,
    /// Rows that are equal to an earlier one in all columns.
    pub duplicates: usize,
    pub columns: IndexMap<String, ColumnSurvey>,
    pub form: Option<Form>,
}

/// Reads all rows of a file or folder once. What is held is 16 bytes a row.
///
/// # Errors
/// An unreadable file; or all rows that cannot be read, by their place.
pub fn survey(path: &Path, split: Option<&str>) -> Result<Survey> {
    let files = shards::files(path, split)?;
    let mut found = Survey {
        files: files.len(),
        ..Survey::default()
    };
    let mut bad = BadLines::new(path);
    let mut seen = HashSet::new();
    for file in files {
        let format = each(&file, &mut bad, |_, row| {
            found.duplicates += usize::from(!seen.insert(fingerprint(&row)));
            found.add(&row);
            Ok(())
        })?;
        found.format = format.name();
    }
    bad.or(())?;
    let has = |columns: &IndexMap<String, ColumnSurvey>, name: &str| {
        let column = columns.get(name);
        column.is_some_and(|it| it.nulls < found.rows)
    };
    found.form = Form::of(|name| has(&found.columns, name));
    if let Some(form) = found.form {
        let read = form.reads(|name| has(&found.columns, name));
        for (name, column) in &mut found.columns {
            column.read = read.contains(&&**name) || COMMON.contains(&&**name);
        }
    }
    Ok(found)
}

impl Survey {
    fn add(&mut self, row: &Row) {
        for (name, value) in row {
            if value.is_null()
                || !self.columns.contains_key(name) && self.columns.len() >= MOST_COLUMNS
            {
                continue;
            }
            let column = self
                .columns
                .entry(name.clone())
                .or_insert_with(|| ColumnSurvey {
                    nulls: self.rows,
                    ..ColumnSurvey::default()
                });
            let mut kind = type_of(value);
            if !column.types.contains_key(&kind) && column.types.len() >= MOST_TYPES {
                kind = "others".into();
            }
            *column.types.entry(kind).or_default() += 1;
        }
        self.rows += 1;
        for (name, column) in &mut self.columns {
            if row.get(name).is_none_or(Value::is_null) {
                column.nulls += 1;
            }
        }
    }
}

/// What a value is: of a list, also what its items are.
fn type_of(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let is_message = |item: &Value| item["role"].is_string();
            let Some(first) = items.first() else {
                return "empty list".into();
            };
            if items.iter().all(is_message) {
                return "messages".into();
            }
            let of = bare(first);
            match items.iter().all(|item| bare(item) == of) {
                true => format!("list of {of}"),
                false => "list".into(),
            }
        }
        other => bare(other).to_owned(),
    }
}

/// What a value is, without an article.
fn bare(value: &Value) -> &'static str {
    let kind = kind(value);
    ["a ", "an "]
        .iter()
        .find_map(|article| kind.strip_prefix(article))
        .unwrap_or(kind)
}

/// What tells rows apart, whatever the order of their columns.
fn fingerprint(row: &Row) -> u128 {
    let mut columns: Vec<(&String, String)> = row
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name, value.to_string()))
        .collect();
    columns.sort_unstable();
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        columns.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_types_nulls_and_duplicates_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let rows = [
            r#"{"prompt": "p", "completion": "c", "n": 1}"#,
            r#"{"n": 1, "completion": "c", "prompt": "p"}"#,
            r#"{"prompt": [{"role": "user", "content": "p"}], "completion": [], "tags": ["a"], "n": null}"#,
            r#"{"prompt": "p", "completion": "c", "n": "1"}"#,
        ];
        std::fs::write(&path, rows.join("\n")).unwrap();
        let found = survey(&path, None).unwrap();
        assert_eq!((found.rows, found.duplicates), (4, 1));
        assert_eq!(found.form, Some(Form::Completions));
        let shown: Vec<String> = found
            .columns
            .iter()
            .map(|(name, it)| format!("{name} {:?} {} {}", it.types, it.nulls, it.read))
            .collect();
        assert_eq!(
            shown,
            [
                r#"prompt {"text": 3, "messages": 1} 0 true"#,
                r#"completion {"text": 3, "empty list": 1} 0 true"#,
                r#"n {"number": 2, "text": 1} 1 false"#,
                r#"tags {"list of text": 1} 3 false"#,
            ]
        );
    }
}
