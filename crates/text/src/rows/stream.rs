//! Files of rows, read in chunks on all cores.
//!
//! A file is read twice: first every row is checked and its prompt noted, then examples are handed out
//! one by one, each with the dialogue that it belongs to. What is held is a chunk of rows, and 16 bytes a
//! prompt while that lasts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Result, anyhow};
use rapport_store::BadInput;
use rayon::prelude::*;
use serde_json::Value;

use super::columns::{COLUMNS, typed};
use super::dialogues::Prompts;
use crate::Example;
use crate::chat::ChatTemplate;
use crate::formats::{Columns, Format, Item, Opened, Row, open, shards};
use crate::lines::{BadLines, Unit, stem};

/// A row's examples, or what is wrong with it. A group left empty is found by prompt.
pub(super) type Read = Result<Vec<Example>, Wrong>;

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// With this one.
    Row(String),
    /// Would hold of every row of the file, so that it is reported once.
    File(String),
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self::Row(message)
    }
}

impl From<&str> for Wrong {
    fn from(message: &str) -> Self {
        Self::Row(message.into())
    }
}

/// How rows are read, and what is remarked of them: each remark with the number of rows or messages it holds of.
#[derive(Debug, Default)]
pub struct Reading<'a> {
    /// What renders conversational rows.
    pub template: Option<&'a ChatTemplate>,
    /// Whether a reply's scored ranges are those that the template marks.
    pub masks: bool,
    /// Which split's shards of a folder are read, where their names say so.
    pub split: Option<&'static str>,
    remarks: Mutex<BTreeMap<String, usize>>,
}

impl<'a> Reading<'a> {
    /// Rows rendered by a template, if there is one.
    pub fn by(template: Option<&'a ChatTemplate>, masks: bool) -> Self {
        Self {
            template,
            masks,
            split: None,
            remarks: Mutex::default(),
        }
    }

    /// The same, of a split: `train`, `valid` or `test`.
    pub fn of(self, split: &'static str) -> Self {
        Self {
            split: Some(split),
            ..self
        }
    }

    pub(super) fn remark(&self, remark: impl Into<String>) {
        let mut remarks = self
            .remarks
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *remarks.entry(remark.into()).or_default() += 1;
    }

    /// What was remarked so far, each remark with its count, and forgets it.
    pub fn take_remarks(&self) -> BTreeMap<String, usize> {
        let mut remarks = self
            .remarks
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        std::mem::take(&mut remarks)
    }
}

/// Examples in the file's order.
pub type Examples<'a> = Box<dyn Iterator<Item = Result<Example>> + 'a>;

/// Why conversational rows cannot be read at all.
pub(super) const NO_TEMPLATE: &str = "the row is conversational and there is no chat template to render it \
     with: set `model` to a model whose folder holds chat_template.jinja, or tokenizer_config.json with \
     `chat_template`; or write the rows as plain text";

/// Rows parsed at once, and about how many bytes of them.
pub(super) const CHUNK: usize = 256;
const CHUNK_BYTES: usize = 16 << 20;

/// Reads the examples that `examples` makes of each row.
///
/// # Errors
/// An unreadable file; or every bad row by its place, before the first example is handed out.
pub(super) fn read<'a>(
    path: &Path,
    reading: &Reading<'_>,
    examples: impl Fn(&str, &Row) -> Read + Sync + 'a,
) -> Result<Examples<'a>> {
    let files = shards::files(path, reading.split)?;
    let mut bad = BadLines::new(path);
    let mut prompts = Prompts::default();
    let mut found = false;
    let mut chunks = Chunks::new(files.clone());
    while let Some(chunk) = chunks.next(&examples) {
        let Chunk { path, unit, rows } = chunk?;
        bad.turn(&path, unit);
        for (number, read) in rows {
            found = true;
            match read {
                Ok(examples) => examples
                    .iter()
                    .filter(|example| example.group.is_empty())
                    .for_each(|example| prompts.add(&example.prompt.text())),
                Err(Wrong::File(message)) => {
                    let place = unit.place(&path, number);
                    return Err(BadInput(format!("{place}: {message}")).into());
                }
                Err(Wrong::Row(message)) => bad.add(number, message),
            }
        }
        if bad.is_full() {
            break;
        }
    }
    if !found {
        bad.add(1, "expected rows, found none");
    }
    bad.or(())?;
    let mut chunks = Chunks::new(files);
    let chunks = std::iter::from_fn(move || chunks.next(&examples));
    Ok(Box::new(chunks.flat_map(move |chunk| match chunk {
        Ok(chunk) => chunk.examples(&prompts),
        Err(error) => vec![Err(error)],
    })))
}

/// Puts an example into its dialogue, unless its row already said which one that is.
fn grouped(mut example: Example, prompts: &Prompts) -> Example {
    if example.group.is_empty() {
        example.group = match prompts.opening(&example.prompt.text()) {
            Some(opening) => format!("prompt {opening:032x}"),
            None => example.id.clone(),
        };
    }
    example
}

/// Rows of one file with what is made of them.
struct Chunk {
    path: PathBuf,
    unit: Unit,
    rows: Vec<(usize, Read)>,
}

impl Chunk {
    /// All examples in their dialogues.
    fn examples(self, prompts: &Prompts) -> Vec<Result<Example>> {
        let mut found = Vec::new();
        for (number, read) in self.rows {
            match read {
                Ok(examples) => {
                    found.extend(examples.into_iter().map(|it| Ok(grouped(it, prompts))));
                }
                Err(Wrong::Row(message) | Wrong::File(message)) => {
                    let place = self.unit.place(&self.path, number);
                    found.push(Err(anyhow!("{place}: {message}")));
                }
            }
        }
        found
    }
}

/// Files one after the other, a chunk at a time.
struct Chunks {
    files: std::vec::IntoIter<PathBuf>,
    /// Whether a row's number alone does not tell it from those of other files.
    several: bool,
    open: Option<(PathBuf, Opened)>,
}

impl Chunks {
    fn new(files: Vec<PathBuf>) -> Self {
        Self {
            several: files.len() > 1,
            files: files.into_iter(),
            open: None,
        }
    }

    /// The next chunk; bad rows with what is wrong.
    fn next(&mut self, examples: &(impl Fn(&str, &Row) -> Read + Sync)) -> Option<Result<Chunk>> {
        loop {
            let (path, opened) = match &mut self.open {
                Some(open) => open,
                None => {
                    let path = self.files.next()?;
                    let opened = match open(&path, Columns::Named(&COLUMNS)) {
                        Ok(opened) => opened,
                        Err(error) => return Some(Err(error)),
                    };
                    self.open.insert((path, opened))
                }
            };
            let mut size = 0;
            let mut items: Vec<Item> = Vec::new();
            while items.len() < CHUNK && size < CHUNK_BYTES {
                match opened.items.next() {
                    None => break,
                    Some(Err(error)) => return Some(Err(error)),
                    Some(Ok(item)) => {
                        size += item.size;
                        items.push(item);
                    }
                }
            }
            if items.is_empty() {
                self.open = None;
                continue;
            }
            let format = opened.format;
            let shard = match self.several {
                true => format!("{}:", stem(path)),
                false => String::new(),
            };
            let parse = |item: Item| {
                let name = format!("{shard}{}", item.number);
                (item.number, parsed(item, &name, format, examples))
            };
            return Some(Ok(Chunk {
                path: path.clone(),
                unit: format.unit(),
                rows: items.into_par_iter().map(parse).collect(),
            }));
        }
    }
}

/// What is made of a row.
fn parsed(item: Item, name: &str, format: Format, examples: &impl Fn(&str, &Row) -> Read) -> Read {
    let mut row = item.raw.and_then(|raw| format.row(raw))?;
    if format == Format::Table {
        typed(&mut row)?;
    }
    // What writes tables writes null for a column that the row does not have.
    row.retain(|_, value| !value.is_null());
    let dialogue = row.get("dialogue").and_then(dialogue);
    let mut read = examples(name, &row)?;
    if let Some(dialogue) = dialogue {
        read.iter_mut()
            .for_each(|example| example.group.clone_from(&dialogue));
    }
    Ok(read)
}

/// The dialogue that a row says it is of. A list or an object names none, and is a column like any
/// other that is left alone.
fn dialogue(value: &Value) -> Option<String> {
    let scalar = !value.is_array() && !value.is_object();
    scalar.then(|| format!("dialogue {value}"))
}
