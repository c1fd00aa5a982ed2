//! Rows as they come from a file.

use serde_json::{Map, Value};

use super::json;
use crate::lines::Unit;

/// A row's columns by name.
pub type Row = Map<String, Value>;

/// How a file's rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    JsonLines,
    List,
    /// All cells are text.
    Table,
    Parquet,
}

impl Format {
    /// What its rows are numbered by.
    pub fn unit(self) -> Unit {
        match self {
            Self::JsonLines | Self::Table => Unit::Line,
            Self::List => Unit::Item,
            Self::Parquet => Unit::Row,
        }
    }

    /// Its name, as users know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "JSON Lines",
            Self::List => "JSON",
            Self::Table => "CSV",
            Self::Parquet => "Parquet",
        }
    }

    /// The row that was read.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn row(self, raw: Raw) -> Result<Row, String> {
        let expected = match self {
            Self::JsonLines => "one JSON object a line",
            _ => "a JSON object",
        };
        match raw {
            Raw::Json(text) => json::parse(&text, expected),
            Raw::Row(row) => Ok(row),
        }
    }
}

/// The columns that are read, where the others need not be.
#[derive(Clone, Copy, Debug)]
pub enum Columns<'a> {
    All,
    Named(&'a [&'a str]),
}

impl Columns<'_> {
    #[cfg(feature = "parquet")]
    pub fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(&name),
        }
    }
}

/// A row as it was read, and its number: its line's, or counted from 1.
#[derive(Debug)]
pub struct Item {
    pub number: usize,
    /// About how many bytes it takes.
    pub size: usize,
    pub raw: Result<Raw, String>,
}

/// A row that may still have to be parsed.
#[derive(Debug)]
pub enum Raw {
    Json(String),
    Row(Row),
}
