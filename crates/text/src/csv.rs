//! Comma-separated values.

use csv_core::{ReadFieldResult, ReaderBuilder, Terminator};

use crate::lines::BadLines;

/// Rows of cells (RFC 4180), each with the line on which it begins; a quoted cell may hold separators,
/// line breaks and doubled quotes. Rows that hold nothing are left out.
pub(super) fn csv_rows(text: &str, separator: u8, bad: &mut BadLines) -> Vec<(usize, Vec<String>)> {
    let mut reader = ReaderBuilder::new()
        .delimiter(separator)
        // A carriage return alone is text.
        .terminator(Terminator::Any(b'\n'))
        .build();
    // The end of its line completes the last cell, unless that is quoted and never closed.
    let text = [text.as_bytes(), b"\n"].concat();
    let (mut rows, mut cells) = (Vec::new(), Vec::new());
    let (mut at, mut begin, mut cell) = (0, 1, vec![0; text.len()]);
    loop {
        let mut line = reader.line() as usize;
        if cells.is_empty() {
            // The reader passes over empty lines.
            line += text[at..].iter().take_while(|byte| **byte == b'\n').count();
            begin = line;
        }
        let (result, read, written) = reader.read_field(&text[at..], &mut cell);
        at += read;
        match result {
            ReadFieldResult::Field { record_end } => {
                let returned = record_end && text[..at].ends_with(b"\r\n");
                let cell = &cell[..written - usize::from(returned)];
                cells.push(String::from_utf8_lossy(cell).into_owned());
                if record_end {
                    let row: Vec<String> = std::mem::take(&mut cells);
                    if row.iter().any(|cell| !cell.trim().is_empty()) {
                        rows.push((begin, row));
                    }
                }
            }
            ReadFieldResult::InputEmpty if written > 0 => {
                bad.add(line, "a quoted cell is never closed");
                return rows;
            }
            // There is room for every cell.
            _ => return rows,
        }
    }
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
