//! Comma-separated values.

use std::io::BufRead;

use csv_core::{ReadFieldResult, Reader, ReaderBuilder, Terminator};

use super::bounds::LARGEST_ROW;
use super::text::line_into;
use crate::lines::{BadLines, NOT_UTF8};

/// Rows of cells (RFC 4180), each with the line on which it begins; a quoted cell may hold separators,
/// line breaks and doubled quotes. Rows that hold nothing are left out.
pub struct Cells<R> {
    input: R,
    core: Reader,
    /// A line of the file and its number, and how much of it is read.
    line: Vec<u8>,
    number: usize,
    at: usize,
    /// What is read of a cell, and where it begins.
    cell: Vec<u8>,
    written: usize,
    cell_from: usize,
    row: Vec<String>,
    row_from: usize,
    bytes: usize,
    bad_text: bool,
    ended: bool,
}

/// What a row is, or what is wrong with it.
type Row = Result<Vec<String>, String>;

impl<R: BufRead> Cells<R> {
    /// Reads cells from `input`, whose first `line` is read already.
    pub fn new(input: R, line: Vec<u8>, separator: u8) -> Self {
        let core = ReaderBuilder::new()
            .delimiter(separator)
            // A carriage return alone is text.
            .terminator(Terminator::Any(b'\n'))
            .build();
        Self {
            input,
            core,
            ended: line.is_empty(),
            line,
            number: 1,
            at: 0,
            cell: vec![0; 256],
            written: 0,
            cell_from: 1,
            row: Vec::new(),
            row_from: 1,
            bytes: 0,
            bad_text: false,
        }
    }

    /// The next row, with its line.
    ///
    /// # Errors
    /// What the input cannot be read for.
    pub fn next(&mut self) -> anyhow::Result<Option<(usize, Row)>> {
        loop {
            if self.at == self.line.len() && !self.next_line()? {
                return Ok(self.last());
            }
            if self.written == 0 && self.row.is_empty() {
                (self.row_from, self.bytes) = (self.number, 0);
            }
            let input = &self.line[self.at..];
            let (result, read, written) =
                self.core.read_field(input, &mut self.cell[self.written..]);
            self.at += read;
            self.written += written;
            match result {
                ReadFieldResult::Field { record_end } => {
                    if let Some(row) = self.field(record_end) {
                        return Ok(Some((self.row_from, row)));
                    }
                }
                ReadFieldResult::OutputFull => {
                    let size = self.cell.len() * 2;
                    self.cell.resize(size, 0);
                }
                // A quoted cell goes on in the next line.
                ReadFieldResult::InputEmpty | ReadFieldResult::End => {}
            }
            if self.bytes + self.written > LARGEST_ROW {
                let from = self.cell_from;
                let wrong = format!(
                    "a row of more than {LARGEST_ROW} bytes, or a quoted cell that is never closed"
                );
                (self.ended, self.at, self.written) = (true, self.line.len(), 0);
                return Ok(Some((from, Err(wrong))));
            }
        }
    }

    fn next_line(&mut self) -> anyhow::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let whole = self.line.ends_with(b"\n");
        self.line.clear();
        self.at = 0;
        if line_into(&mut self.input, &mut self.line)? {
            self.number += 1;
        } else {
            self.ended = true;
            // The end of its line completes the last cell, unless that is quoted and never closed.
            if whole {
                return Ok(false);
            }
            self.line.push(b'\n');
        }
        Ok(true)
    }

    /// What is left at the end: nothing, if all cells are closed.
    fn last(&mut self) -> Option<(usize, Row)> {
        let (written, row) = (
            std::mem::take(&mut self.written),
            std::mem::take(&mut self.row),
        );
        let open = written > 0 || !row.is_empty();
        open.then(|| (self.cell_from, Err("a quoted cell is never closed".into())))
    }

    /// Takes a whole cell; gives the row that it ends, if that holds anything.
    fn field(&mut self, record_end: bool) -> Option<Row> {
        let length = std::mem::take(&mut self.written);
        let returned = record_end && self.line[..self.at].ends_with(b"\r\n");
        let cell = &self.cell[..length - usize::from(returned && length > 0)];
        self.bad_text |= std::str::from_utf8(cell).is_err();
        self.row.push(String::from_utf8_lossy(cell).into_owned());
        self.bytes += length + size_of::<String>();
        self.cell_from = self.number + usize::from(record_end);
        if !record_end {
            return None;
        }
        let row = std::mem::take(&mut self.row);
        if std::mem::take(&mut self.bad_text) {
            return Some(Err(NOT_UTF8.into()));
        }
        let filled = row.iter().any(|cell| !cell.trim().is_empty());
        filled.then_some(Ok(row))
    }
}

/// All rows of a text.
pub fn csv_rows(text: &str, separator: u8, bad: &mut BadLines) -> Vec<(usize, Vec<String>)> {
    let mut input = text.as_bytes();
    let (mut rows, mut line) = (Vec::new(), Vec::new());
    // What is in memory can be read.
    _ = line_into(&mut input, &mut line);
    let mut cells = Cells::new(input, line, separator);
    while let Ok(Some((line, row))) = cells.next() {
        match row {
            Ok(row) => rows.push((line, row)),
            Err(message) => bad.add(line, message),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
        let mut bad = BadLines::new(Path::new("a.csv"));
        let rows = csv_rows(text, b',', &mut bad);
        bad.or(rows).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_keep_their_line_whatever_stands_between_them() {
        let text = "a,\"b\nc\"\r\n\r\n\n ,\n\"d \"\"e\"\"\",f\rg,\"\n\"h\n\n";
        let cells = |cells: &[&str]| cells.iter().map(ToString::to_string).collect();
        let expected = vec![
            (1, cells(&["a", "b\nc"])),
            (6, cells(&["d \"e\"", "f\rg", "\nh"])),
        ];
        assert_eq!(read(text), Ok(expected.clone()));
        assert_eq!(read(text.trim_end()), Ok(expected));
        assert_eq!(read(""), Ok(vec![]));
        let long = "x".repeat(3000);
        let expected = vec![(1, cells(&[&long, &long]))];
        assert_eq!(read(&format!("{long},{long}")), Ok(expected));
    }

    #[test]
    fn a_quoted_cell_that_is_never_closed_is_named_by_its_own_line() {
        for (text, line) in [
            ("a,\"b\n", 1),
            ("a,\"b", 1),
            ("\n\na,\"b\nc\",\"d\n\n", 4),
            ("\"", 1),
        ] {
            let error = format!("a.csv:{line}: a quoted cell is never closed");
            assert_eq!(read(text), Err(error), "{text:?}");
        }
    }
}
