//! The columns that rows have, and what the cells of a table say in them, which are all text.

use serde_json::{Number, Value};

use crate::formats::Row;
use crate::formats::json;

/// All columns that any form of rows reads.
pub(super) const COLUMNS: [&str; 11] = [
    "prompt",
    "chosen",
    "rejected",
    "margin",
    "messages",
    "completion",
    "text",
    "label",
    "dialogue",
    "tools",
    "chat_template_kwargs",
];

/// The columns of each form of rows.
pub(crate) const PREFERENCE: &[&str] = &["prompt", "chosen", "rejected", "margin"];
pub(crate) const LABELLED: &[&str] = &["prompt", "completion", "label"];
pub(crate) const COMPLETED: &[&str] = &["prompt", "completion"];
pub(crate) const MESSAGES: &[&str] = &["messages"];
pub(crate) const TEXT: &[&str] = &["text"];

/// Columns that every form of rows reads.
pub(crate) const COMMON: [&str; 3] = ["dialogue", "tools", "chat_template_kwargs"];

/// Reads a table's cells as the values that the columns expect: an empty one is none, `label` a truth value, `margin` a
/// number, and a list of messages is written as JSON.
///
/// # Errors
/// A list in Python's form, which would be read as plain text.
pub(super) fn typed(row: &mut Row) -> Result<(), String> {
    for (name, value) in row.iter_mut() {
        let Value::String(text) = &*value else {
            continue;
        };
        let found = match name.as_str() {
            _ if text.is_empty() => Some(Value::Null),
            "label" => match text.to_lowercase().as_str() {
                "true" | "1" => Some(true.into()),
                "false" | "0" => Some(false.into()),
                _ => None,
            },
            "margin" => text
                .parse()
                .ok()
                .and_then(Number::from_f64)
                .map(Value::Number),
            name if COLUMNS.contains(&name) && text.starts_with("[{") => match json::value(text) {
                Ok(list) => Some(list),
                Err(_) if text.contains("'role'") => {
                    return Err(format!(
                        "{name}: expected a list of messages as JSON, found one as Python prints it; write the rows as \
                         Parquet or JSON Lines"
                    ));
                }
                Err(_) => None,
            },
            _ => None,
        };
        if let Some(found) = found {
            *value = found;
        }
    }
    Ok(())
}
