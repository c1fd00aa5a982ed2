//! Letters as Python sorts them, and how it cuts a text into pieces.

use std::collections::HashSet;

use crate::jinja::error::{Error, Result};
use crate::jinja::given::{int_or, text_of};
use crate::jinja::lexer::python_space;
use crate::jinja::meter::Meter;
use crate::jinja::value::{Value, text::printable};

/// The first letter large where `upper`, the others small.
pub(in crate::jinja) fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(titled).unwrap_or_default();
    first + &lower(letters.as_str())
}

/// A letter as the first of a word: `ǆ` becomes `ǅ`, `ß` becomes `Ss`.
fn titled(letter: char) -> String {
    match letter {
        'Ǆ' | 'ǅ' | 'ǆ' => "ǅ".into(),
        'Ǉ' | 'ǈ' | 'ǉ' => "ǈ".into(),
        'Ǌ' | 'ǋ' | 'ǌ' => "ǋ".into(),
        'Ǳ' | 'ǲ' | 'ǳ' => "ǲ".into(),
        'ŉ' => "ʼN".into(),
        letter => {
            let mut upper = letter.to_uppercase();
            let first = upper.next().into_iter().collect::<String>();
            first + &upper.flat_map(char::to_lowercase).collect::<String>()
        }
    }
}

pub(super) fn lower(text: &str) -> String {
    text.to_lowercase()
}

/// `str.title`: every letter behind one that is none is large.
pub(super) fn title(text: &str) -> String {
    let mut titled_text = String::new();
    let mut inside = false;
    for letter in text.chars() {
        match inside {
            true => titled_text.extend(letter.to_lowercase()),
            false => titled_text.push_str(&titled(letter)),
        }
        inside = letter.is_lowercase()
            || letter.is_uppercase()
            || letter.is_alphabetic() && cased(letter);
    }
    titled_text
}

pub(super) fn cased(letter: char) -> bool {
    letter.to_lowercase().next() != Some(letter) || letter.to_uppercase().next() != Some(letter)
}

/// Removes white space, or the letters given, at the ends that are asked for.
pub(super) fn strip<'t>(
    text: &'t str,
    letters: Option<&Value>,
    (start, end): (bool, bool),
    meter: &Meter,
) -> Result<&'t str> {
    let set: Option<HashSet<char>> = match letters {
        None | Some(Value::None) => None,
        Some(letters) => {
            let letters = text_of(letters, "strip")?;
            meter.charge(8 * letters.len())?;
            Some(letters.chars().collect())
        }
    };
    let fits = |letter: char| match &set {
        None => python_space(letter),
        Some(set) => set.contains(&letter),
    };
    let text = if start {
        text.trim_start_matches(fits)
    } else {
        text
    };
    Ok(if end {
        text.trim_end_matches(fits)
    } else {
        text
    })
}

/// `text.strip(letters)`
pub(in crate::jinja) fn trim(text: &str, letters: Option<&Value>, meter: &Meter) -> Result<String> {
    strip(text, letters, (true, true), meter).map(str::to_owned)
}

/// The lines of a text, by any of Python's line breaks, with the breaks if asked for.
pub(in crate::jinja) fn split_lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    let breaks = |letter: char| {
        matches!(
            letter,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    while let Some(at) = rest.find(breaks) {
        let width = match rest[at..].starts_with("\r\n") {
            true => 2,
            false => rest[at..].chars().next().map_or(1, char::len_utf8),
        };
        lines.push(&rest[..if keep { at + width } else { at }]);
        rest = &rest[at + width..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// The pieces between separators, or between white space; what is left over behind the last cut that is allowed is
/// kept as it is at its far end.
pub(super) fn split<'t>(
    text: &'t str,
    separator: Option<&str>,
    most: usize,
    from_end: bool,
) -> Result<Vec<&'t str>> {
    let mut parts: Vec<&str> = match separator {
        Some("") => return Err(Error::operation("empty separator")),
        Some(separator) if from_end => text.rsplitn(most.saturating_add(1), separator).collect(),
        Some(separator) => text.splitn(most.saturating_add(1), separator).collect(),
        None => {
            let mut parts = Vec::new();
            let mut rest = text;
            loop {
                rest = match from_end {
                    true => rest.trim_end_matches(python_space),
                    false => rest.trim_start_matches(python_space),
                };
                let cut = match from_end {
                    _ if parts.len() == most => None,
                    true => rest
                        .rsplit_once(python_space)
                        .map(|(rest, part)| (part, rest)),
                    false => rest.split_once(python_space),
                };
                let Some((part, left)) = cut else {
                    break;
                };
                parts.push(part);
                rest = left;
            }
            parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
            parts
        }
    };
    if from_end {
        parts.reverse();
    }
    Ok(parts)
}

/// Slices a text by letters, as `count`, `find` and the like may be told to.
pub(super) fn within(
    text: &str,
    start: Option<Value>,
    end: Option<Value>,
) -> Result<(usize, String)> {
    let length = text.chars().count() as i128;
    let place = |value: Option<Value>, default: i128| -> Result<i128> {
        let number = match value {
            None | Some(Value::None) => default,
            value => int_or(value, default, "index")?,
        };
        let number = if number < 0 { number + length } else { number };
        Ok(number.clamp(0, length))
    };
    let (start, end) = (place(start, 0)?, place(end, length)?);
    let taken = text
        .chars()
        .skip(start as usize)
        .take((end - start).max(0) as usize);
    Ok((start as usize, taken.collect()))
}

/// Rust counts letters that stand for numbers, and marks that join letters, as alphabetic; Python does not.
pub(super) fn is_mark_or_number(letter: char) -> bool {
    letter.is_numeric() || combining(letter)
}

pub(super) fn combining(letter: char) -> bool {
    // Alphabetic marks: what joins the letter before it is escaped only where it stands alone.
    !letter.is_ascii() && letter.escape_debug().count() > 1 && printable(letter)
}

/// Digits of any script.
pub(super) fn decimal(letter: char) -> bool {
    letter.is_ascii_digit()
        || [
            0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
            0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0xff10,
        ]
        .iter()
        .any(|zero| (*zero..zero + 10).contains(&u32::from(letter)))
}

/// Digits of any script, raised ones and those in circles among them.
pub(super) fn digit_value(letter: char) -> bool {
    decimal(letter)
        || matches!(letter, '²' | '³' | '¹' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}' | '\u{2460}'..='\u{2468}')
}

/// `text.replace(old, new, count)`
pub(in crate::jinja) fn replace(
    text: &str,
    old: &str,
    new: &str,
    count: usize,
    meter: &Meter,
) -> Result<Value> {
    let found = match old.is_empty() {
        true => text.chars().count() + 1,
        false => text.matches(old).count(),
    };
    meter.charge(text.len())?;
    meter.charge_times(new.len(), found.min(count))?;
    Ok(Value::text(text.replacen(old, new, count)))
}
