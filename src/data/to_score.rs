//! Rows to be scored, one JSON object a line, each in one of these forms (the first whose keys a row has):
//!
//! - a [rated dialogue](crate::data::rated): `id` and `turns`, ratings or not;
//! - `messages` of the roles user and assistant; those of the role system are left out and counted;
//! - `prompt` and `completion` as text, scored as it stands;
//! - `premise`, a sentence of a persona, and `hypothesis`, a reply, for a classifier.
//!
//! The last three may have an `id`, a string or a number; the line's number stands in for one. Other columns of theirs
//! are left alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::data::lines::{BadLines, numbered, read_utf8};
use crate::data::row_stream::Row;
use crate::data::rows::{kind, messages};
use crate::data::{Scale, Speaker, Turn, rated};

/// A text to be scored.
#[derive(Clone, Debug, PartialEq)]
pub struct ToScore {
    pub id: Value,
    pub text: Scorable,
    /// The mean of each impression's ratings, where the row has any.
    pub ratings: BTreeMap<String, f64>,
}

/// What is scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Scorable {
    Dialogue(Vec<Turn>),
    Text { prompt: String, completion: String },
    Pair { premise: String, hypothesis: String },
}

/// Reads a file's rows, and how many messages of the role system were left out.
///
/// # Errors
/// An unreadable file; or every bad row, by its line: none of the forms, an empty text, no turn of the bot, an unknown
/// role, an id that an earlier row has, `premise` and `hypothesis` where the model is no `classifier`.
pub fn to_score(path: &Path, classifier: bool) -> Result<(Vec<ToScore>, usize)> {
    let text = read_utf8(path)?;
    let mut bad = BadLines::new(path);
    let (mut rows, mut left_out) = (Vec::new(), 0);
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut found = 0;
    for (line, text) in numbered(&text) {
        found += 1;
        match row(line, text, classifier, &mut left_out) {
            Ok(row) => {
                if let Some(first) = ids.insert(row.id.to_string(), line) {
                    bad.add(line, format!("id: line {first} has {} too", row.id));
                }
                rows.push(row);
            }
            Err(message) => bad.add(line, message),
        }
    }
    if found == 0 {
        bad.add(1, "expected rows to score, found none");
    }
    bad.or((rows, left_out))
}

fn row(line: usize, text: &str, classifier: bool, left_out: &mut usize) -> Result<ToScore, String> {
    let row: Row = serde_json::from_str(text)
        .map_err(|error| format!("expected a JSON object: {error}; one line holds one row"))?;
    if row.contains_key("turns") {
        return dialogue(text);
    }
    let id = match row.get("id") {
        None => Value::from(line),
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        Some(other) => {
            return Err(format!(
                "id: expected text or a number, found {}",
                kind(other)
            ));
        }
    };
    let text = if let Some(value) = row.get("messages") {
        let Value::Array(list) = value else {
            return Err(format!(
                "messages: expected a list of messages, found {}",
                kind(value)
            ));
        };
        let (turns, system) = turns(list)?;
        *left_out += system;
        Scorable::Dialogue(turns)
    } else if row.contains_key("completion") {
        let prompt = match row.get("prompt") {
            None => String::new(),
            Some(_) => words(&row, "prompt")?,
        };
        Scorable::Text {
            prompt,
            completion: filled(&row, "completion")?,
        }
    } else if row.contains_key("premise") || row.contains_key("hypothesis") {
        if !classifier {
            return Err(
                "premise and hypothesis: the model is no classifier; give it turns, messages, or prompt and \
                 completion"
                    .into(),
            );
        }
        Scorable::Pair {
            premise: filled(&row, "premise")?,
            hypothesis: filled(&row, "hypothesis")?,
        }
    } else {
        let keys: Vec<&str> = row.keys().map(String::as_str).collect();
        return Err(format!(
            "expected the keys turns, or messages, or prompt and completion, or premise and hypothesis; found {}",
            match keys.is_empty() {
                true => "none".to_owned(),
                false => keys.join(", "),
            }
        ));
    };
    Ok(ToScore {
        id,
        text,
        ratings: BTreeMap::new(),
    })
}

fn dialogue(text: &str) -> Result<ToScore, String> {
    let row = rated::parse(text)?;
    // What the ratings' scale is makes no difference to how well scores go along with them.
    let any = Scale {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };
    rated::check(&row, any)?;
    let names = row.ratings.iter().flat_map(|rating| rating.scores.keys());
    let names: BTreeSet<&String> = names.collect();
    let ratings = names
        .into_iter()
        .filter_map(|name| Some((name.clone(), row.mean(name)?)))
        .collect();
    Ok(ToScore {
        id: row.id.into(),
        text: Scorable::Dialogue(row.turns),
        ratings,
    })
}

/// Messages as turns, and how many of the role system there were.
fn turns(list: &[Value]) -> Result<(Vec<Turn>, usize), String> {
    let (mut turns, mut system) = (Vec::new(), 0);
    for (index, message) in messages(list, "messages")?.into_iter().enumerate() {
        let speaker = match &*message.role {
            "user" => Speaker::User,
            "assistant" => Speaker::Bot,
            "system" => {
                system += 1;
                continue;
            }
            other => {
                return Err(format!(
                    "messages[{index}].role: expected user, assistant or system, found {other:?}"
                ));
            }
        };
        if message.content.trim().is_empty() {
            return Err(format!(
                "messages[{index}].content: expected text, found none"
            ));
        }
        turns.push(Turn {
            speaker,
            text: message.content,
        });
    }
    match turns.iter().any(|turn| turn.speaker == Speaker::Bot) {
        true => Ok((turns, system)),
        false => Err("messages: expected one of the role assistant, found none".into()),
    }
}

fn words(row: &Row, key: &str) -> Result<String, String> {
    match row.get(key).unwrap_or(&Value::Null) {
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("{key}: expected text, found {}", kind(other))),
    }
}

fn filled(row: &Row, key: &str) -> Result<String, String> {
    let text = words(row, key)?;
    match text.trim().is_empty() {
        true => Err(format!("{key}: expected text, found none")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], classifier: bool) -> Result<(Vec<ToScore>, usize)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        to_score(&path, classifier)
    }

    #[test]
    fn every_form_is_read_and_rows_without_ids_have_their_line_s() {
        let (rows, system) = read(
            &[
                r#"{"id": "a", "turns": [{"speaker": "bot", "text": "hi."}], "ratings": [
                    {"rater": "x", "scores": {"ease": 40}}, {"rater": "y", "scores": {"ease": 50, "trust": -1}}]}"#
                    .replace('\n', " ")
                    .as_str(),
                "",
                r#"{"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi."},
                    {"role": "assistant", "content": "ho."}], "more": 1}"#
                    .replace('\n', " ")
                    .as_str(),
                r#"{"id": 7, "prompt": "a", "completion": " b"}"#,
                r#"{"completion": "b"}"#,
                r#"{"premise": "i sail.", "hypothesis": "i hate boats."}"#,
            ],
            true,
        )
        .unwrap();
        assert_eq!(system, 1);
        let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        assert_eq!(ids, ["\"a\"", "3", "7", "5", "6"]);
        assert_eq!(
            rows[0].ratings,
            [("ease".into(), 45.0), ("trust".into(), -1.0)].into()
        );
        let Scorable::Dialogue(turns) = &rows[1].text else {
            panic!("{:?}", rows[1])
        };
        let speakers: Vec<Speaker> = turns.iter().map(|turn| turn.speaker).collect();
        assert_eq!(speakers, [Speaker::User, Speaker::Bot]);
        assert!(rows[1].ratings.is_empty());
    }

    #[test]
    fn bad_rows_are_named_by_line() {
        let user = r#"{"messages": [{"role": "user", "content": "hi."}]}"#;
        let error = read(
            &[
                "[]",
                user,
                r#"{"messages": [{"role": "tool", "content": "hi."}]}"#,
                r#"{"prompt": "a"}"#,
                r#"{"completion": " "}"#,
                r#"{"prompt": [], "completion": "b"}"#,
                r#"{"id": "a", "turns": []}"#,
                r#"{"premise": "a", "hypothesis": "b"}"#,
                r#"{"id": 3, "completion": "b"}"#,
                r#"{"id": 3, "completion": "c"}"#,
                r#"{"id": [3], "completion": "c"}"#,
            ],
            false,
        );
        let error = error.unwrap_err().to_string();
        for expected in [
            ":1: expected a JSON object",
            ":2: messages: expected one of the role assistant, found none",
            ":3: messages[0].role: expected user, assistant or system, found \"tool\"",
            ":4: expected the keys turns, or messages, or prompt and completion, or premise and hypothesis; found prompt",
            ":5: completion: expected text, found none",
            ":6: prompt: expected text, found a list",
            ":7: turns: expected at least one, found none",
            ":8: premise and hypothesis: the model is no classifier",
            ":10: id: line 9 has 3 too",
            ":11: id: expected text or a number, found a list",
        ] {
            assert!(error.contains(expected), "{expected}\nnot in\n{error}");
        }
        assert!(
            read(&[""], false)
                .unwrap_err()
                .to_string()
                .contains("found none")
        );
    }
}
