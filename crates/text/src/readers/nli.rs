//! Dialogue-NLI's pairs (Welleck et al., arXiv 1811.00671): a sentence of a persona, a reply, and how the one relates to
//! the other.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::formats::json::kind;
use crate::lines::{BadLines, numbered, read_utf8};

/// What a persona's sentence says of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NliLabel {
    Entailment,
    Neutral,
    Contradiction,
}

impl NliLabel {
    pub const ALL: [NliLabel; 3] = [
        NliLabel::Entailment,
        NliLabel::Neutral,
        NliLabel::Contradiction,
    ];

    pub fn name(self) -> &'static str {
        match self {
            NliLabel::Entailment => "entailment",
            NliLabel::Neutral => "neutral",
            NliLabel::Contradiction => "contradiction",
        }
    }
}

/// A sentence of a persona and a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct NliPair {
    pub sentence: String,
    pub reply: String,
    pub label: NliLabel,
}

/// Reads a file of the data set, one JSON list, as it is published, or an object a line. An object has `sentence1`, the
/// utterance, `sentence2`, the persona's sentence, and `label`: positive, neutral or negative, or entailment, neutral or
/// contradiction. Other keys are left alone.
///
/// # Errors
/// An unreadable file; or every bad item, by its line, of a list by its number.
pub fn nli(path: &Path) -> Result<Vec<NliPair>> {
    let text = read_utf8(path)?;
    let mut pairs = Vec::new();
    let mut add = |bad: &mut BadLines, at: usize, pair: Result<NliPair, String>| match pair {
        Ok(pair) => pairs.push(pair),
        Err(message) => bad.add(at, message),
    };
    let mut bad = BadLines::new(path);
    if text.trim_start().starts_with('[') {
        match serde_json::from_str::<Vec<Value>>(&text) {
            Ok(items) => {
                bad = BadLines::items(path);
                for (index, item) in items.iter().enumerate() {
                    add(&mut bad, index + 1, pair(item));
                }
            }
            Err(error) => bad.add(error.line(), format!("not a valid JSON list: {error}")),
        }
    } else {
        for (line, text) in numbered(&text) {
            let value = serde_json::from_str::<Value>(text);
            let value = value.map_err(|error| format!("not valid JSON: {error}"));
            add(&mut bad, line, value.and_then(|value| pair(&value)));
        }
    }
    let pairs = bad.or(pairs)?;
    anyhow::ensure!(!pairs.is_empty(), "{}: no pairs", path.display());
    Ok(pairs)
}

fn pair(value: &Value) -> Result<NliPair, String> {
    let text = |key: &str| match &value[key] {
        Value::String(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Value::String(_) => Err(format!("{key}: expected text, found none")),
        other => Err(format!("{key}: expected text, found {}", kind(other))),
    };
    if !value.is_object() {
        return Err(format!(
            "expected an object with sentence1, sentence2 and label, found {}",
            kind(value)
        ));
    }
    let label = match &*text("label")? {
        "positive" | "entailment" => NliLabel::Entailment,
        "neutral" => NliLabel::Neutral,
        "negative" | "contradiction" => NliLabel::Contradiction,
        other => {
            return Err(format!(
                "label: expected positive, neutral or negative (or entailment, contradiction), found {other:?}"
            ));
        }
    };
    Ok(NliPair {
        sentence: text("sentence2")?,
        reply: text("sentence1")?,
        label,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<NliPair>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pairs.jsonl");
        std::fs::write(&path, text).unwrap();
        nli(&path)
    }

    const GOOD: &str =
        r#"{"id": "a", "label": "positive", "sentence1": "boats !", "sentence2": "i sail ."}"#;

    #[test]
    fn lists_and_lines_read_alike() {
        let against = GOOD.replace("positive", "contradiction");
        let lines = read(&format!("{GOOD}\n\n{against}\n")).unwrap();
        assert_eq!(lines, read(&format!(" [{GOOD},\n{against}]")).unwrap());
        assert_eq!(
            (&*lines[0].sentence, &*lines[0].reply),
            ("i sail .", "boats !")
        );
        let labels: Vec<&str> = lines.iter().map(|pair| pair.label.name()).collect();
        assert_eq!(labels, ["entailment", "contradiction"]);
    }

    #[test]
    fn bad_items_are_named_by_line_or_number() {
        let (label, empty) = (
            GOOD.replace("positive", "yes"),
            GOOD.replace("boats !", " "),
        );
        for (text, places) in [
            (
                format!("{GOOD}\n{label}\n3\n{empty}"),
                [":2: label", ":3: expected an object", ":4: sentence1"],
            ),
            (
                format!("[{GOOD}, {label}, 3, {empty}]"),
                [
                    "item 2: label",
                    "item 3: expected an object",
                    "item 4: sentence1",
                ],
            ),
        ] {
            let error = read(&text).unwrap_err().to_string();
            for place in places {
                assert!(error.contains(place), "{place} not in\n{error}");
            }
        }
        let error = read(&format!("[\n{GOOD},\n{GOOD}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(".jsonl:4: not a valid JSON list"), "{error}");
        assert!(read("[]").unwrap_err().to_string().ends_with("no pairs"));
    }
}
