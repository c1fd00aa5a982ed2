//! Rows that are text: JSON Lines, lists of objects, tables of cells.

use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rapport_store::BadInput;
use serde_json::Value;

use super::bounds::LARGEST_ROW;
use super::csv::Cells;
use super::{Item, Raw, Row};
use crate::lines::NOT_UTF8;

/// Reads a line with its end, and whether there was one.
///
/// # Errors
/// What cannot be read, or is longer than a row may be.
pub fn line_into(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    let before = line.len();
    input.take(LARGEST_ROW as u64 + 2).read_until(b'\n', line)?;
    if line.len() - before > LARGEST_ROW + 1 {
        anyhow::bail!("a line of more than {LARGEST_ROW} bytes");
    }
    Ok(line.len() > before)
}

/// One JSON object on each line that holds anything.
pub struct JsonLines<R> {
    pub input: R,
    pub path: PathBuf,
    pub line: usize,
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        loop {
            let mut bytes = Vec::new();
            match line_into(&mut self.input, &mut bytes) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(unread(error, &self.path, self.line + 1))),
            }
            self.line += 1;
            if !bytes.trim_ascii().is_empty() {
                return Some(Ok(json(self.line, bytes)));
            }
        }
    }
}

fn json(number: usize, bytes: Vec<u8>) -> Item {
    Item {
        number,
        size: bytes.len(),
        raw: String::from_utf8(bytes)
            .map(Raw::Json)
            .map_err(|_| NOT_UTF8.to_owned()),
    }
}

/// What could not be read from a line or item on.
fn unread(error: anyhow::Error, path: &Path, number: usize) -> anyhow::Error {
    BadInput(format!("{}:{number}: {error:#}", path.display())).into()
}

/// The items of a list, cut out where they end, so that one is held at a time.
pub struct List<R> {
    input: R,
    path: PathBuf,
    /// Items so far.
    number: usize,
    done: bool,
}

/// What is expected next in a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    ItemOrEnd,
    CommaOrEnd,
}

impl<R: BufRead> List<R> {
    /// Reads a list of which the bracket is still to come.
    pub fn new(input: R, path: PathBuf) -> Self {
        Self {
            input,
            path,
            number: 0,
            done: false,
        }
    }

    /// The next byte that is no white space.
    fn letter(&mut self) -> Result<Option<u8>> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let blank = buffer
                .iter()
                .take_while(|it| it.is_ascii_whitespace())
                .count();
            let found = buffer.get(blank).copied();
            self.input.consume(blank);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn item(&mut self) -> Result<Option<Item>> {
        let mut next = match self.number {
            0 => {
                self.letter()?;
                self.input.consume(1);
                Next::ItemOrEnd
            }
            _ => Next::CommaOrEnd,
        };
        loop {
            let Some(letter) = self.letter()? else {
                anyhow::bail!("the list ends early, without its closing bracket");
            };
            match (letter, next) {
                (b']', Next::ItemOrEnd) if self.number > 0 => {
                    anyhow::bail!("expected an item after the comma");
                }
                (b']', _) => {
                    self.input.consume(1);
                    if self.letter()?.is_some() {
                        anyhow::bail!("text after the end of the list");
                    }
                    return Ok(None);
                }
                (b',', Next::CommaOrEnd) => {
                    self.input.consume(1);
                    next = Next::ItemOrEnd;
                }
                (_, Next::CommaOrEnd) => anyhow::bail!("expected a comma between two items"),
                (_, Next::ItemOrEnd) => {
                    let bytes = self.text()?;
                    self.number += 1;
                    return Ok(Some(json(self.number, bytes)));
                }
            }
        }
    }

    /// An item's text: up to the comma or bracket that is not within it.
    fn text(&mut self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                anyhow::bail!("the list ends early, within an item");
            }
            let ends = |byte: &u8| {
                match (byte, quoted) {
                    _ if escaped => escaped = false,
                    (b'\\', true) => escaped = true,
                    (b'"', _) => quoted = !quoted,
                    (b'[' | b'{', false) => depth += 1,
                    (b',' | b']', false) if depth == 0 => return true,
                    (b']' | b'}', false) => depth = depth.saturating_sub(1),
                    _ => {}
                }
                false
            };
            let found = buffer.iter().position(ends);
            let taken = found.unwrap_or(buffer.len());
            text.extend_from_slice(&buffer[..taken]);
            self.input.consume(taken);
            if found.is_some() {
                return Ok(text);
            }
            if text.len() > LARGEST_ROW {
                anyhow::bail!("an item of more than {LARGEST_ROW} bytes");
            }
        }
    }
}

impl<R: BufRead> Iterator for List<R> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        if self.done {
            return None;
        }
        let item = self.item().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        let place = |error: anyhow::Error| {
            let (path, number) = (self.path.display(), self.number + 1);
            BadInput(format!("{path}: item {number}: {error:#}")).into()
        };
        item.map(|item| item.map_err(place))
    }
}

/// A table's rows, named by its first one.
pub struct Table<R> {
    cells: Cells<R>,
    path: PathBuf,
    names: Vec<String>,
    /// What is wrong with the names.
    wrong: Option<String>,
    done: bool,
}

impl<R: BufRead> Table<R> {
    /// Reads the header; the separator is whichever of comma, semicolon and tab it has most of.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn new(mut input: R, path: &Path) -> Result<Self> {
        let mut line = Vec::new();
        let context = || format!("cannot read {}", path.display());
        line_into(&mut input, &mut line).with_context(context)?;
        let separator = [b',', b';', b'\t']
            .into_iter()
            .rev()
            .max_by_key(|separator| line.iter().filter(|it| *it == separator).count())
            .unwrap_or(b',');
        let mut cells = Cells::new(input, line, separator);
        let header = cells.next().with_context(context)?;
        let (names, mut wrong) = match header {
            Some((_, Ok(header))) => (header, None),
            Some((_, Err(wrong))) => (Vec::new(), Some(wrong)),
            None => (Vec::new(), None),
        };
        let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
        if let Some(name) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
            wrong = Some(format!("two columns are named {:?}", names[name]));
        }
        Ok(Self {
            cells,
            path: path.to_owned(),
            names,
            wrong,
            done: false,
        })
    }

    fn named(&self, cells: Vec<String>) -> Result<Row, String> {
        if cells.len() != self.names.len() {
            let (expected, found) = (self.names.len(), cells.len());
            return Err(format!("expected {expected} cells, found {found}"));
        }
        let named = self.names.iter().zip(cells);
        let named = named.filter(|(name, _)| !name.is_empty());
        Ok(named
            .map(|(name, cell)| (name.clone(), Value::String(cell)))
            .collect())
    }
}

impl<R: BufRead> Iterator for Table<R> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        if let Some(wrong) = self.wrong.take() {
            let raw = Err(wrong);
            return Some(Ok(Item {
                number: 1,
                size: 0,
                raw,
            }));
        }
        if self.done {
            return None;
        }
        match self.cells.next() {
            Ok(None) => None,
            Ok(Some((number, cells))) => {
                let size = cells.iter().flatten().map(|cell| cell.len() + 48).sum();
                let raw = cells.and_then(|cells| self.named(cells)).map(Raw::Row);
                Some(Ok(Item { number, size, raw }))
            }
            Err(error) => {
                self.done = true;
                let error = error.context(format!("cannot read {}", self.path.display()));
                Some(Err(BadInput(format!("{error:#}")).into()))
            }
        }
    }
}
