//! Reply templates: filled with what is known, and compared with what was said.

use serde_json::{Map, Value};

/// Most words that a slot stands for.
const SLOT_WORDS: usize = 24;
/// Shortest name that may be found within another, such as `Name` in `hotel_name`.
const SHORTEST_NAME: usize = 4;

/// A part of a template.
enum Part<'a> {
    Text(&'a str),
    /// A slot's name without its format: `time` of `{time:s}`.
    Slot(&'a str),
}

fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((slot, after)) = after.split_once('}') else {
            break;
        };
        parts.push(Part::Text(before));
        parts.push(Part::Slot(slot.split(':').next().unwrap_or(slot)));
        rest = after;
    }
    parts.push(Part::Text(rest));
    parts
}

/// The template on one line with its slots' plain names: `{hotel name}`.
pub fn readable(template: &str) -> String {
    let mut text = String::new();
    for part in parts(template) {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Slot(name) => text.push_str(&format!("{{{}}}", name.replace('_', " "))),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A fact by name, such as a field of a database item.
pub type Fact = (String, String);

/// The template with each slot filled by the first fact of its name, or else by the first whose name is
/// nearly that (`Name` for `hotel_name`, `TemperatureCelsius` for `temperature`); nothing where a slot
/// finds no fact.
pub fn fill(template: &str, facts: &[Fact]) -> Option<String> {
    let mut text = String::new();
    for part in parts(template) {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Slot(name) => text.push_str(lookup(name, facts)?),
        }
    }
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn lookup<'a>(slot: &str, facts: &'a [Fact]) -> Option<&'a str> {
    let slot = key(slot);
    let near = |name: &str| {
        let (short, long) = if name.len() < slot.len() {
            (name, slot.as_str())
        } else {
            (slot.as_str(), name)
        };
        short.len() >= SHORTEST_NAME && (long.ends_with(short) || long.starts_with(short))
    };
    let exact = facts.iter().find(|(name, _)| key(name) == slot);
    exact
        .or_else(|| facts.iter().find(|(name, _)| near(&key(name))))
        .map(|(_, value)| value.as_str())
}

fn key(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The texts and numbers of an item, its lists item by item; truth values and the API's name are none.
pub fn facts(item: &Map<String, Value>) -> Vec<Fact> {
    let mut found = Vec::new();
    for (name, value) in item.iter().filter(|(name, _)| *name != "APIName") {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            match value {
                Value::String(text) => found.push((name.clone(), text.clone())),
                Value::Number(number) => found.push((name.clone(), number.to_string())),
                _ => {}
            }
        }
    }
    found
}

/// Words in lower case, without punctuation.
pub fn words(text: &str) -> Vec<String> {
    let text = text.replace(['\'', '\u{2019}'], "").to_lowercase();
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A template as words and slots, to be compared with replies.
pub struct Pattern(Vec<Option<String>>);

/// How near a reply comes to a pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// From 0 to 1; see [`Pattern::compare`].
    pub similarity: f64,
    /// The pattern's words outside slots.
    pub literals: usize,
    /// What the slots stand for, where every word is in its place.
    pub slots: Option<Vec<Vec<String>>>,
}

impl Pattern {
    pub fn new(template: &str) -> Self {
        let mut pattern: Vec<Option<String>> = Vec::new();
        for part in parts(template) {
            match part {
                Part::Text(text) => pattern.extend(words(text).into_iter().map(Some)),
                // Slots in a row are one.
                Part::Slot(_) if pattern.last().is_some_and(Option::is_none) => {}
                Part::Slot(_) => pattern.push(None),
            }
        }
        Self(pattern)
    }

    /// Whether the pattern has words outside slots.
    pub fn has_words(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// Compares by insertions and deletions of words, a slot taking up to 24 for nothing: with D the
    /// fewest of them, L the pattern's words and R the reply's outside slots, 1 - D / (L + R). It is 1
    /// where all words agree and 0 where none does.
    pub fn compare(&self, reply: &[String]) -> Match {
        let literals = self.0.iter().flatten().count();
        let slots = captures(&self.0, reply);
        let similarity = if slots.is_some() {
            1.0
        } else {
            self.similarity(reply, literals)
        };
        Match {
            similarity,
            literals,
            slots,
        }
    }

    fn similarity(&self, reply: &[String], literals: usize) -> f64 {
        // For each number of the reply's words used up: the fewest edits, then words taken by slots.
        let mut row: Vec<(usize, usize)> = (0..=reply.len()).map(|j| (j, 0)).collect();
        for part in &self.0 {
            let mut next = Vec::with_capacity(row.len());
            for j in 0..=reply.len() {
                let best = match part {
                    None => (j.saturating_sub(SLOT_WORDS)..=j)
                        .map(|from| (row[from].0, row[from].1 + j - from))
                        .min(),
                    Some(word) => {
                        let skipped = (row[j].0 + 1, row[j].1);
                        let taken = (j > 0 && reply[j - 1] == *word).then(|| row[j - 1]);
                        Some(taken.map_or(skipped, |taken| taken.min(skipped)))
                    }
                };
                let mut best = best.unwrap_or(row[j]);
                if j > 0 {
                    let (edits, absorbed): (usize, usize) = next[j - 1];
                    best = best.min((edits + 1, absorbed));
                }
                next.push(best);
            }
            row = next;
        }
        let (edits, absorbed) = row[reply.len()];
        let words = literals + reply.len() - absorbed;
        1.0 - edits as f64 / words.max(1) as f64
    }
}

/// What the slots take where the pattern fits word for word, the first as little as it can.
fn captures(pattern: &[Option<String>], reply: &[String]) -> Option<Vec<Vec<String>>> {
    let Some((part, rest)) = pattern.split_first() else {
        return reply.is_empty().then(Vec::new);
    };
    if let Some(word) = part {
        return (reply.first() == Some(word))
            .then(|| captures(rest, &reply[1..]))
            .flatten();
    }
    let longest = reply.len().min(SLOT_WORDS);
    (1..=longest).find_map(|taken| {
        let mut slots = captures(rest, &reply[taken..])?;
        slots.insert(0, reply[..taken].to_vec());
        Some(slots)
    })
}
