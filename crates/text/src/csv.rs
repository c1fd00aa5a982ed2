//! Comma-separated values.

use crate::lines::BadLines;

/// Rows of cells (RFC 4180), each with the line on which it begins; a quoted cell may hold separators,
/// line breaks and doubled quotes. Rows that hold nothing are left out.
pub(super) fn csv_rows(
    text: &str,
    separator: char,
    bad: &mut BadLines,
) -> Vec<(usize, Vec<String>)> {
    let mut rows = Vec::new();
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let (mut line, mut begin) = (1, 1);
    let mut quoted_at = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let ends_line = character == '\n';
        match (character, quoted_at) {
            ('"', Some(_)) if characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            ('"', Some(_)) => quoted_at = None,
            ('"', None) if cell.is_empty() => quoted_at = Some(line),
            (_, None) if character == separator => cells.push(std::mem::take(&mut cell)),
            ('\r', None) if characters.peek() == Some(&'\n') => {}
            ('\n', None) => {
                cells.push(std::mem::take(&mut cell));
                push_row(&mut rows, begin, &mut cells);
                begin = line + 1;
            }
            _ => cell.push(character),
        }
        line += usize::from(ends_line);
    }
    if let Some(line) = quoted_at {
        bad.add(line, "a quoted cell is never closed");
    } else {
        cells.push(cell);
        push_row(&mut rows, begin, &mut cells);
    }
    rows
}

fn push_row(rows: &mut Vec<(usize, Vec<String>)>, line: usize, cells: &mut Vec<String>) {
    let row = std::mem::take(cells);
    if row.iter().any(|cell| !cell.trim().is_empty()) {
        rows.push((line, row));
    }
}
