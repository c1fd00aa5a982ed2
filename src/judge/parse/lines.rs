//! Scores from phrases such as `**Adherence**: 7/10`.

use super::found::{Found, number, same};

/// Takes the scores of every phrase in `text`.
pub(super) fn read(text: &str, found: &mut Found<'_>) -> Result<(), String> {
    let text: String = text.chars().filter(|c| !"*`\"".contains(*c)).collect();
    if let [only] = found.criteria
        && let Some((score, rest)) = number(text.trim())
        && rest.trim_matches(['.', ' ']).is_empty()
    {
        return found.add(&only.name, score);
    }
    for line in text.lines() {
        let names = names(line, found);
        for (index, (name, end)) in names.iter().enumerate() {
            let next = names
                .get(index + 1)
                .map_or(line.len(), |(next, _)| next.start);
            let name = &found.criteria[name.criterion].name;
            if let Some(score) = score(&line[*end..next.max(*end)], name)? {
                found.add(name, score)?;
            }
        }
    }
    Ok(())
}

/// A criterion named in a line.
struct Name {
    criterion: usize,
    start: usize,
}

/// The criteria named in a line and the places where their names end, in order. Of names that begin
/// at one place, the longest counts.
fn names(line: &str, found: &Found<'_>) -> Vec<(Name, usize)> {
    let mut names = Vec::new();
    let mut before = ' ';
    let mut free = 0;
    for (start, c) in line.char_indices() {
        let starts = start >= free && !before.is_alphanumeric();
        before = c;
        if !starts {
            continue;
        }
        let named = found
            .criteria
            .iter()
            .enumerate()
            .filter_map(|(at, wanted)| {
                let end = start + length(&line[start..], &wanted.name)?;
                let after = line[end..].chars().next();
                (!after.is_some_and(|c| c.is_alphanumeric() || c == '_')).then_some((at, end))
            });
        if let Some((criterion, end)) = named.max_by_key(|(_, end)| *end) {
            names.push((Name { criterion, start }, end));
            free = end;
        }
    }
    names
}

/// How many bytes of `text` spell `name`, if it begins with it.
fn length(text: &str, name: &str) -> Option<usize> {
    let mut rest = text.chars();
    for wanted in name.chars() {
        if !rest.next().is_some_and(|c| same(wanted, c)) {
            return None;
        }
    }
    Some(text.len() - rest.as_str().len())
}

/// The number that is said of a name, by what follows it up to the next name or the line's end; nothing
/// where the name is only mentioned.
fn score(said: &str, name: &str) -> Result<Option<f64>, String> {
    let mut rest = said.trim_start();
    // A remark on the scale: "Adherence (1-10): 7".
    if let Some(remark) = rest.strip_prefix('(') {
        rest = remark
            .split_once(')')
            .map_or("", |(_, rest)| rest)
            .trim_start();
    }
    let Some(rest) = rest.strip_prefix([':', '=', '|']) else {
        return Ok(None);
    };
    let rest = rest.trim_start();
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    let doubtful = || format!("{name} is followed by {:?}", said.trim());
    let (score, rest) = number(rest).ok_or_else(doubtful)?;
    let glued = rest.starts_with(|c: char| c.is_alphanumeric() && c != '点' || "%+".contains(c));
    // Another number, as in "7-8" or "7 or 8", leaves it open which one is meant.
    if glued || rest.contains(char::is_numeric) {
        return Err(doubtful());
    }
    Ok(Some(score))
}
