//! Text files read line by line, with every bad line reported at once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rapport_store::regular;

/// How many bad lines of a file are spelt out.
const SHOWN: usize = 20;

/// How many are counted, after which nobody needs to know.
const COUNTED: usize = 10_000;

/// What is wrong with a file, line by line.
#[derive(Debug, thiserror::Error)]
pub struct BadLines {
    path: PathBuf,
    unit: Unit,
    /// Place and message; at most [`SHOWN`].
    shown: Vec<String>,
    count: usize,
}

/// What rows are numbered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Lines: `FILE:3`.
    Line,
    /// Items of a file that is one list: `FILE: item 3`.
    Item,
    /// Rows of a table without lines: `FILE: row 3`.
    Row,
}

impl Unit {
    /// A row's place in a file, ahead of a message.
    pub(super) fn place(self, path: &Path, number: usize) -> String {
        let unit = match self {
            Self::Line => "",
            Self::Item => " item ",
            Self::Row => " row ",
        };
        format!("{}:{unit}{number}", path.display())
    }
}

impl std::fmt::Display for BadLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown.join("\n"))?;
        let least = if self.is_full() { "at least " } else { "" };
        match self.count - self.shown.len() {
            0 => Ok(()),
            more => write!(
                f,
                "\n{}: and {least}{more} more bad lines",
                self.path.display()
            ),
        }
    }
}

impl BadLines {
    pub(super) fn new(path: &Path) -> Self {
        Self::of(path, Unit::Line)
    }

    /// For a file that is one list, whose items are numbered instead of lines.
    pub(super) fn items(path: &Path) -> Self {
        Self::of(path, Unit::Item)
    }

    pub(super) fn of(path: &Path, unit: Unit) -> Self {
        Self {
            path: path.to_owned(),
            unit,
            shown: Vec::new(),
            count: 0,
        }
    }

    /// Goes on to another file.
    pub(super) fn turn(&mut self, path: &Path, unit: Unit) {
        (self.path, self.unit) = (path.to_owned(), unit);
    }

    /// The number of a line, item or row counts from 1.
    pub(super) fn add(&mut self, number: usize, message: impl AsRef<str>) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            let place = self.unit.place(&self.path, number);
            self.shown.push(format!("{place}: {}", message.as_ref()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there are so many that the rest need not be read.
    pub(super) fn is_full(&self) -> bool {
        self.count >= COUNTED
    }

    /// Gives `rows` back if no line was bad.
    pub(super) fn or<T>(self, rows: T) -> Result<T> {
        if self.is_empty() {
            Ok(rows)
        } else {
            Err(self.into())
        }
    }
}

/// What a line that is not UTF-8 is reported with.
pub(super) const NOT_UTF8: &str = "not valid UTF-8; save the file as UTF-8";

/// Reads a UTF-8 file, without the byte order mark that some editors put in front.
///
/// # Errors
/// An unreadable file by name; one that is not UTF-8 by the line of its first bad byte.
pub(super) fn read_utf8(path: &Path) -> Result<String> {
    regular(path)?;
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let mut bad = BadLines::new(path);
        bad.add(
            1 + good.iter().filter(|&&byte| byte == b'\n').count(),
            NOT_UTF8,
        );
        bad
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// The lines that hold anything, numbered from 1; line ends may be those of Unix or Windows.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// A file's name without its ending, which starts the ids of what it holds.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_line_ends_of_any_editor_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        fs::write(&path, "\u{feff}one\r\n\r\nthree\n\n").unwrap();
        let text = read_utf8(&path).unwrap();
        assert_eq!(
            numbered(&text).collect::<Vec<_>>(),
            [(1, "one"), (3, "three")]
        );
        fs::write(&path, b"one\ntwo\xff\n").unwrap();
        let error = read_utf8(&path).unwrap_err().to_string();
        assert!(error.contains("a.txt:2: not valid UTF-8"), "{error}");
    }

    #[test]
    fn bad_lines_are_reported_together_and_the_rest_counted() {
        let mut bad = BadLines::new(Path::new("a.txt"));
        for line in 1..=25 {
            bad.add(line, "odd");
        }
        let error = bad.or(()).unwrap_err().to_string();
        assert!(error.starts_with("a.txt:1: odd\na.txt:2: odd\n"), "{error}");
        assert!(error.ends_with("and 5 more bad lines"), "{error}");
        assert_eq!(error.lines().count(), 21);
    }
}
