//! Verdicts read out of a judge's text. What can be read in two ways is not read at all.

mod found;
mod json;
mod lines;

use super::{Choice, Criterion, Scores};
use found::{Found, plain};

/// Longer answers are not searched: they are no verdict, and searching must end.
const LONGEST: usize = 64 << 10;

/// The last mark of `[[1]]`, `[[2]]`, `[[3]]`, as a choice between the replies as they were shown.
///
/// In a text that the server `cut` off, the mark must be the end: else it may be an example.
///
/// # Errors
/// Why there is no choice.
pub(super) fn choice(text: &str, cut: bool) -> Result<Choice, String> {
    let text = said(text)?;
    let mut last = None;
    for at in 0..text.len() {
        if !text.as_bytes()[at..].starts_with(b"[[") {
            continue;
        }
        let digits = text[at + 2..].trim_start();
        let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = &digits[..digits.len() - rest.len()];
        if let Some(rest) = rest.trim_start().strip_prefix("]]")
            && !number.is_empty()
        {
            last = Some((number, rest));
        }
    }
    let Some((number, rest)) = last else {
        return Err("no [[1]], [[2]] or [[3]] in the answer".into());
    };
    if cut && rest.chars().any(char::is_alphanumeric) {
        return Err("the answer was cut off before its end".into());
    }
    match number {
        "1" => Ok(Choice::First),
        "2" => Ok(Choice::Second),
        "3" => Ok(Choice::Tie),
        other => Err(format!("the last mark is [[{other}]]")),
    }
}

/// One score within [`SCALE`] for every criterion: from JSON objects anywhere in the text or, where
/// there is none that names a criterion, from phrases such as `adherence: 7/10`.
///
/// # Errors
/// Why there are no scores: one is missing, out of range, given twice with different values, ...
pub(super) fn scores(text: &str, criteria: &[Criterion], cut: bool) -> Result<Scores, String> {
    let text = said(text)?;
    let mut found = Found {
        criteria,
        scores: Scores::new(),
    };
    if !json::read(&text, &mut found)? {
        if cut {
            return Err("the answer was cut off before its end".into());
        }
        // What may be the beginning of an object could end in the middle of a number.
        if text.contains('{') {
            return Err("no whole JSON object that names a criterion".into());
        }
        lines::read(&text, &mut found)?;
    }
    for criterion in criteria {
        if !found.scores.contains_key(&criterion.name) {
            return Err(format!("no score for {}", criterion.name));
        }
    }
    Ok(found.scores)
}

/// The text after a model's thoughts, with full-width characters made plain.
fn said(text: &str) -> Result<String, String> {
    let text = match (text.rfind("</think>"), text.contains("<think>")) {
        (Some(at), _) => &text[at + "</think>".len()..],
        (None, true) => return Err("the answer ends within its thoughts".into()),
        (None, false) => text,
    };
    if text.len() > LONGEST {
        return Err(format!("the answer is longer than {LONGEST} bytes"));
    }
    Ok(text.chars().map(plain).collect())
}

#[cfg(test)]
mod tests;
