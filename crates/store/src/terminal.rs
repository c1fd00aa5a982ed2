//! What goes to a person's terminal: no control characters of data or servers, and no end of the work when nobody
//! reads any more.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};
use std::sync::LazyLock;

use anyhow::{Context, Result};
use indicatif::MultiProgress;
use serde::Serialize;

/// The bars of all work under way, one below the other.
pub(super) static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// The reader of standard output has gone, as `head` does: nothing is left to print for.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub struct Unread;

/// Text in which what could move the cursor, colour the terminal or reorder letters is spelt out. Line breaks and
/// tabs stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    let odd = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match odd(c) {
            true => cleaned.extend(c.escape_default()),
            false => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

/// Prints a line on stderr without breaking a bar. Where it cannot be printed (a closed pipe, a full disk), the work
/// goes on without it.
pub fn say(text: &str) {
    BARS.suspend(|| {
        let _ = writeln!(io::stderr(), "{}", clean(text));
    });
}

/// Prints text on stdout.
///
/// # Errors
/// [`Unread`] once the reader has gone, and what else keeps it from being written.
pub fn print(text: &str) -> Result<()> {
    put(clean(text).as_bytes())
}

/// Prints a value on stdout as indented JSON and a line break. Control characters are escaped, as JSON may have them.
///
/// # Errors
/// As [`print`].
pub fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    put(format!("{}\n", escaped(&text)).as_bytes())
}

/// Prints values on stdout, one a line.
///
/// # Errors
/// As [`print`].
pub fn print_json_lines<T: Serialize>(values: &[T]) -> Result<()> {
    let mut text = String::new();
    for value in values {
        text.push_str(&escaped(&serde_json::to_string(value)?));
        text.push('\n');
    }
    put(text.as_bytes())
}

/// JSON without the control characters that `serde_json` leaves as they are, those above ASCII.
fn escaped(json: &str) -> Cow<'_, str> {
    let odd = |c: char| c.is_control() && c != '\n';
    if !json.contains(odd) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match odd(c) {
            true => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => text.push(c),
        }
    }
    Cow::Owned(text)
}

fn put(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// Stderr for log lines: what cannot be written is dropped.
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_moves_the_cursor() {
        assert_eq!(clean("a\tb\nc é 日"), "a\tb\nc é 日");
        assert_eq!(
            clean("\u{1b}[2Jx\r\u{9b}1m\u{202e}y\u{7f}\u{7}"),
            "\\u{1b}[2Jx\\r\\u{9b}1m\\u{202e}y\\u{7f}\\u{7}"
        );
        let json = serde_json::to_string("\u{9b}\u{7f}\u{1b}é\n").unwrap();
        let text = escaped(&json);
        assert_eq!(text, r#""\u009b\u007f\u001bé\n""#);
        let back: String = serde_json::from_str(&text).unwrap();
        assert_eq!(back, "\u{9b}\u{7f}\u{1b}é\n");
    }
}
