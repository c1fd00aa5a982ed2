//! Names and numbers as they stand in an answer, and the scores found in it.

use crate::judge::{Criterion, SCALE, Scores};

/// A full-width character as the plain one.
pub fn plain(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        c => c,
    }
}

/// Whether a character of a name and one of a text are the same.
pub fn same(name: char, text: char) -> bool {
    let fold = |c: char| match plain(c) {
        '_' | '-' => ' ',
        c => c.to_lowercase().next().unwrap_or(c),
    };
    fold(name) == fold(text)
}

/// The scores found so far.
pub struct Found<'a> {
    pub criteria: &'a [Criterion],
    pub scores: Scores,
}

impl Found<'_> {
    /// The name of the criterion that `key` is.
    pub fn criterion(&self, key: &str) -> Option<&str> {
        let key = key.trim();
        let mut names = self
            .criteria
            .iter()
            .map(|criterion| criterion.name.as_str());
        names.find(|name| {
            name.chars().count() == key.chars().count()
                && name.chars().zip(key.chars()).all(|(a, b)| same(a, b))
        })
    }

    /// Takes a score in, where it is within the scale and no other was given.
    pub fn add(&mut self, name: &str, score: f64) -> Result<(), String> {
        if !(SCALE.0..=SCALE.1).contains(&score) {
            return Err(format!(
                "{name} is {score}, not within {} to {}",
                SCALE.0, SCALE.1
            ));
        }
        match self.scores.insert(name.to_owned(), score) {
            Some(other) if other != score => Err(format!("{name} is both {other} and {score}")),
            _ => Ok(()),
        }
    }
}

/// Reads `7`, `7.5`, `7/10` or `7 out of 10` at the start of `text`: the number and what follows.
pub fn number(text: &str) -> Option<(f64, &str)> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = match rest.strip_prefix('.') {
        Some(more) if more.starts_with(|c: char| c.is_ascii_digit()) => {
            more.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    let value = text[..text.len() - rest.len()].parse().ok()?;
    let after = rest.trim_start();
    let scale = ["/", "out of", "of"]
        .iter()
        .find_map(|word| after.strip_prefix(word));
    match scale {
        // A number out of anything but the scale asked for is another scale.
        Some(scale) => {
            let rest = scale.trim_start().strip_prefix("10")?;
            Some((value, rest))
        }
        None => Some((value, rest)),
    }
}
