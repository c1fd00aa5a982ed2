//! Parquet files, read row by row (<https://github.com/apache/parquet-format>).
//!
//! What is held is a page and a dictionary of each column that is read. A member of a struct that is null is left out, as
//! `datasets` gives every struct all keys that any row has; so is a column.

mod assemble;
mod bits;
mod codec;
mod column;
mod footer;
mod json;
mod pages;
mod schema;
#[cfg(test)]
mod tests;
mod thrift;
mod values;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context as _, Result};
use rapport_store::BadInput;
use serde_json::{Map, Value};

use super::bounds::Expanded;
use super::{Columns as Wanted, Item, Raw};
use assemble::Columns;
use column::{Column, Leaf};
use footer::Footer;
use pages::Pages;
use schema::{Kind, Node};

/// What was read, or what is wrong with it.
type Read<T> = Result<T, String>;

/// The rows of a file.
pub struct Rows {
    name: String,
    file: Arc<File>,
    footer: Footer,
    /// Whether each of the schema's columns is read.
    read: Vec<bool>,
    expanded: Arc<Expanded>,
    held: Arc<AtomicUsize>,
    /// The next group, what is open of the one before it, and its rows that are left.
    group: usize,
    columns: Columns,
    left: u64,
    /// Rows so far.
    number: usize,
    failed: bool,
}

impl Rows {
    /// Opens a file; of its columns, those that are wanted are read, and any other one is `true` wherever it stands.
    ///
    /// # Errors
    /// A file that is not Parquet, by name.
    pub fn open(path: &Path, wanted: Wanted<'_>) -> Result<Self> {
        let name = path.display().to_string();
        let context = || format!("cannot read {name}");
        let mut file = File::open(path).with_context(context)?;
        let size = file.metadata().with_context(context)?.len();
        let footer = Footer::read(&mut file, size);
        let footer = footer.map_err(|error| BadInput(format!("{name}: {error}")))?;
        let columns = &footer.schema.columns;
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = columns.iter().find(|column| !names.insert(&column.name)) {
            let twice = &twice.name;
            return Err(BadInput(format!("{name}: two columns are named {twice:?}")).into());
        }
        Ok(Self {
            name,
            file: Arc::new(file),
            read: columns.iter().map(|it| wanted.has(&it.name)).collect(),
            footer,
            expanded: Arc::default(),
            held: Arc::default(),
            group: 0,
            columns: Columns::new(Vec::new()),
            left: 0,
            number: 0,
            failed: false,
        })
    }

    /// The next row, its number and the bytes that it takes.
    fn row(&mut self) -> Read<Option<Item>> {
        while self.left == 0 {
            if !self.columns.is_done()? {
                return Err("a column has more values than there are rows".into());
            }
            let Some(group) = self.footer.groups.get(self.group) else {
                return Ok(None);
            };
            self.left = group.rows;
            self.open_group();
            self.group += 1;
        }
        self.left -= 1;
        self.number += 1;
        self.columns.begin();
        let (mut row, mut wrong) = (Map::new(), None);
        for (column, read) in self.footer.schema.columns.iter().zip(&self.read) {
            let value = match read {
                false => Ok(Value::Bool(true)),
                true => {
                    let value = self.columns.value(column);
                    value.map_err(|error| {
                        format!("row {}: column `{}`: {error}", self.number, column.name)
                    })?
                }
            };
            match value {
                Ok(Value::Null) => {}
                Ok(value) => _ = row.insert(column.name.clone(), value),
                Err(error) => wrong = wrong.or(Some(format!("{}: {error}", column.name))),
            }
        }
        Ok(Some(Item {
            number: self.number,
            size: self.columns.spent(),
            raw: match wrong {
                None => Ok(Raw::Row(row)),
                Some(wrong) => Err(wrong),
            },
        }))
    }

    fn open_group(&mut self) {
        let group = &self.footer.groups[self.group];
        let mut leaves: Vec<Option<Column>> = Vec::new();
        for (column, read) in self.footer.schema.columns.iter().zip(&self.read) {
            each_leaf(column, &mut |leaf| {
                let pages = || {
                    let chunk = group.chunks[leaves.len()];
                    Pages::new(self.file.clone(), chunk, self.expanded.clone())
                };
                let opened = read.then(|| Column::new(leaf, pages(), self.held.clone()));
                leaves.push(opened);
            });
        }
        self.columns = Columns::new(leaves);
    }
}

fn each_leaf(node: &Node, found: &mut impl FnMut(Leaf)) {
    match &node.kind {
        Kind::Leaf(physical, meaning) => found(Leaf {
            physical: *physical,
            meaning: *meaning,
            defined: node.defined,
            repeated: node.repeated,
        }),
        Kind::Struct(members) => members.iter().for_each(|it| each_leaf(it, found)),
        Kind::List(repeated, _) | Kind::Map(repeated) => each_leaf(repeated, found),
    }
}

impl Iterator for Rows {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        if self.failed {
            return None;
        }
        self.row()
            .map_err(|error| {
                self.failed = true;
                BadInput(format!(
                    "{}: {error}; fetch or write the file again",
                    self.name
                ))
                .into()
            })
            .transpose()
    }
}
