//! Files of rows, read in chunks on all cores.
//!
//! A file is read twice: first every row is checked and its prompt noted, then examples are handed out
//! one by one, each with the dialogue that it belongs to. What is held is a chunk of rows, and 16 bytes a
//! prompt while that lasts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Result, anyhow};
use rapport_store::BadInput;
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::dialogues::Prompts;
use super::json;
use crate::Example;
use crate::chat::ChatTemplate;
use crate::lines::{BadLines, Line, stream};

/// A row's columns by name.
pub(crate) type Row = Map<String, Value>;

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
    remarks: Mutex<BTreeMap<String, usize>>,
}

impl<'a> Reading<'a> {
    /// Rows rendered by a template, if there is one.
    pub fn by(template: Option<&'a ChatTemplate>, masks: bool) -> Self {
        Self {
            template,
            masks,
            remarks: Mutex::default(),
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

/// Columns that every form of rows reads.
pub(super) const COMMON: [&str; 3] = ["dialogue", "tools", "chat_template_kwargs"];

/// Examples in the file's order.
pub type Examples<'a> = Box<dyn Iterator<Item = Result<Example>> + 'a>;

/// Why conversational rows cannot be read at all.
pub(super) const NO_TEMPLATE: &str = "the row is conversational and there is no chat template to render it \
     with: set `model` to a model whose folder holds chat_template.jinja, or tokenizer_config.json with \
     `chat_template`; or write the rows as plain text";

/// Why a file that is one list is not read.
const ARRAY: &str = "expected one JSON object a line, found an array; convert it with: jq -c '.[]'";

/// Lines parsed at once.
pub(super) const CHUNK: usize = 256;

/// Reads the examples that `examples` makes of each numbered row.
///
/// # Errors
/// An unreadable file; or every bad row by line, before the first example is handed out.
pub(super) fn read<'a>(
    path: &Path,
    examples: impl Fn(usize, &Row) -> Read + Sync + 'a,
) -> Result<Examples<'a>> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("parquet") => Err(BadInput(format!(
            "{}: Parquet is not read yet; convert it to JSON Lines with: python -c \"import pandas; \
             pandas.read_parquet('IN.parquet').to_json('OUT.jsonl', orient='records', lines=True)\"",
            path.display()
        ))
        .into()),
        _ => json_lines(path, examples),
    }
}

fn json_lines<'a>(
    path: &Path,
    examples: impl Fn(usize, &Row) -> Read + Sync + 'a,
) -> Result<Examples<'a>> {
    let mut bad = BadLines::new(path);
    let mut prompts = Prompts::default();
    let mut found = false;
    for chunk in parsed(path, &examples)? {
        for (line, read) in chunk? {
            found = true;
            match read {
                Ok(examples) => examples
                    .iter()
                    .filter(|example| example.group.is_empty())
                    .for_each(|example| prompts.add(&example.prompt.text())),
                Err(Wrong::File(message)) => {
                    return Err(BadInput(format!("{}:{line}: {message}", path.display())).into());
                }
                Err(Wrong::Row(message)) => bad.add(line, message),
            }
        }
    }
    if !found {
        bad.add(1, "expected rows, found none");
    }
    bad.or(())?;
    let name = path.to_owned();
    let rows = parsed(path, examples)?.flat_map(|chunk| match chunk {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    Ok(Box::new(rows.flat_map(move |row| {
        let examples = row.and_then(|(line, read)| {
            read.map_err(|(Wrong::Row(message) | Wrong::File(message))| {
                anyhow!("{}:{line}: {message}", name.display())
            })
        });
        match examples {
            Ok(examples) => examples
                .into_iter()
                .map(|example| Ok(grouped(example, &prompts)))
                .collect(),
            Err(error) => vec![Err(error)],
        }
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

/// A file's rows, a chunk at a time; bad ones with what is wrong.
fn parsed<'a>(
    path: &Path,
    examples: impl Fn(usize, &Row) -> Read + Sync + 'a,
) -> Result<impl Iterator<Item = Result<Vec<(usize, Read)>>> + 'a> {
    let mut lines = stream(path)?;
    Ok(std::iter::from_fn(move || {
        let chunk: Result<Vec<Line>> = lines.by_ref().take(CHUNK).collect();
        let parse = |(line, text): Line| {
            let read = text
                .map_err(Wrong::Row)
                .and_then(|text| row(&text))
                .and_then(|row| {
                    let dialogue = row.get("dialogue").and_then(dialogue);
                    let mut read = examples(line, &row)?;
                    if let Some(dialogue) = dialogue {
                        read.iter_mut()
                            .for_each(|example| example.group.clone_from(&dialogue));
                    }
                    Ok(read)
                });
            (line, read)
        };
        match chunk {
            Ok(chunk) if chunk.is_empty() => None,
            chunk => Some(chunk.map(|chunk| chunk.into_par_iter().map(parse).collect())),
        }
    }))
}

fn row(text: &str) -> Result<Row, Wrong> {
    if text.trim_start().starts_with('[') {
        return Err(Wrong::File(ARRAY.into()));
    }
    let mut row = json::parse(text)?;
    // What writes tables writes null for a column that the row does not have.
    row.retain(|_, value| !value.is_null());
    Ok(row)
}

/// The dialogue that a row says it is of. A list or an object names none, and is a column like any
/// other that is left alone.
fn dialogue(value: &Value) -> Option<String> {
    let scalar = !value.is_array() && !value.is_object();
    scalar.then(|| format!("dialogue {value}"))
}
