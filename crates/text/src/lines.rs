//! Text files read line by line, with every bad line reported at once.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rapport_store::regular;

/// How many bad lines of a file are spelt out.
const SHOWN: usize = 20;

/// What is wrong with a file, line by line.
#[derive(Debug, thiserror::Error)]
pub struct BadLines {
    path: PathBuf,
    /// What comes before a number: `FILE:3`, or `FILE: item 3`.
    place: &'static str,
    /// Line, or item of a list, counted from 1, and message; at most [`SHOWN`].
    shown: Vec<(usize, String)>,
    count: usize,
}

impl std::fmt::Display for BadLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (line, message)) in self.shown.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            let (path, place) = (self.path.display(), self.place);
            write!(f, "{gap}{path}:{place}{line}: {message}")?;
        }
        match self.count - self.shown.len() {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more bad lines", self.path.display()),
        }
    }
}

impl BadLines {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            place: "",
            shown: Vec::new(),
            count: 0,
        }
    }

    /// For a file that is one list, whose items are numbered instead of lines.
    pub(super) fn items(path: &Path) -> Self {
        Self {
            place: " item ",
            ..Self::new(path)
        }
    }

    pub(super) fn add(&mut self, line: usize, message: impl Into<String>) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push((line, message.into()));
        }
    }

    /// Gives `rows` back if no line was bad.
    pub(super) fn or<T>(self, rows: T) -> Result<T> {
        if self.count == 0 {
            Ok(rows)
        } else {
            Err(self.into())
        }
    }
}

/// What a line that is not UTF-8 is reported with.
const NOT_UTF8: &str = "not valid UTF-8; save the file as UTF-8";

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

/// A line's number, counted from 1, and its text or what is wrong with it.
pub(super) type Line = (usize, Result<String, String>);

/// Reads the lines that hold anything one after the other, as [`read_utf8`] and [`numbered`] would
/// together, without holding the file.
///
/// # Errors
/// A file that cannot be read, by name, at once or from the line on where that begins.
pub(super) fn stream(path: &Path) -> Result<impl Iterator<Item = Result<Line>> + use<>> {
    regular(path)?;
    let name = path.to_owned();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = BufReader::with_capacity(1 << 16, file).split(b'\n');
    let lines = lines.enumerate().map(move |(index, bytes)| {
        let mut bytes = bytes.with_context(|| format!("cannot read {}", name.display()))?;
        if index == 0 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes).map_err(|_| NOT_UTF8.to_owned());
        Ok((index + 1, text))
    });
    let blank = |line: &Result<Line>| matches!(line, Ok((_, Ok(text))) if text.trim().is_empty());
    Ok(lines.filter(move |line| !blank(line)))
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
        let streamed: Vec<Line> = stream(&path).unwrap().map(Result::unwrap).collect();
        let texts: Vec<_> = streamed
            .iter()
            .map(|(line, text)| (*line, text.as_deref().unwrap().trim()))
            .collect();
        assert_eq!(texts, [(1, "one"), (3, "three")]);
        fs::write(&path, b"one\ntwo\xff\n").unwrap();
        let error = read_utf8(&path).unwrap_err().to_string();
        assert!(error.contains("a.txt:2: not valid UTF-8"), "{error}");
        let (line, text) = stream(&path).unwrap().last().unwrap().unwrap();
        assert_eq!((line, text), (2, Err(NOT_UTF8.to_owned())));
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
