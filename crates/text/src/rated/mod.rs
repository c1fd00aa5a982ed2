//! Rated dialogues: what people, or a world's raters, think of a dialogue's bot.
//!
//! Rows of this form, in any of the [formats](crate::formats):
//!
//! ```json
//! {"id": "d1", "dialogue": "d1", "system": "s2", "speaker": "u7",
//!  "turns": [{"speaker": "user", "text": "hello."}, {"speaker": "bot", "text": "hi."}],
//!  "ratings": [{"rater": "r3", "scores": {"agency": 7.0, "trust": 4.5}}]}
//! ```
//!
//! `id` and `turns` are required. A score that a rater did not give is left out.

pub mod table;
pub mod utterances;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::formats::{Row, each};
use crate::lines::BadLines;
use crate::{Speaker, Turn};

/// A dialogue and its ratings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rated {
    pub id: String,
    /// What it may not be split from: the dialogue it is (part of). Empty where the file does not say.
    #[serde(default)]
    pub dialogue: String,
    /// The bot that speaks in it; empty where the file does not say.
    #[serde(default)]
    pub system: String,
    /// The person who speaks with the bot; empty where the file does not say.
    #[serde(default)]
    pub speaker: String,
    pub turns: Vec<Turn>,
    #[serde(default)]
    pub ratings: Vec<Rating>,
    /// Each impression as it really is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<BTreeMap<String, f64>>,
}

/// What one rater thinks of a dialogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rating {
    pub rater: String,
    /// Scores by impression; one that is missing is left out.
    pub scores: BTreeMap<String, f64>,
}

/// The lowest and the highest score that a rater can give.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
}

impl Rated {
    /// The dialogue it is (part of): its own id where the file does not say.
    pub fn dialogue(&self) -> &str {
        if self.dialogue.is_empty() {
            &self.id
        } else {
            &self.dialogue
        }
    }

    /// The mean of the scores given for an impression; nothing where there are none.
    pub fn mean(&self, impression: &str) -> Option<f64> {
        let given = self.ratings.iter();
        let scores: Vec<f64> = given
            .filter_map(|rating| rating.scores.get(impression).copied())
            .collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }
}

/// Reads a file of rated dialogues, whose scores and truths lie on `scale`.
///
/// # Errors
/// An unreadable file; or every bad row, by its place: a missing or unknown key, no turns, an empty turn, no
/// turn of the bot, a score outside the scale, a rater without scores or with two ratings, an id that an
/// earlier row has.
pub fn rated(path: &Path, scale: Scale) -> Result<Vec<Rated>> {
    let mut bad = BadLines::new(path);
    let mut rows = Vec::new();
    let mut ids: HashMap<String, usize> = HashMap::new();
    each(path, &mut bad, |line, row| {
        let row = rated_row(row)?;
        check(&row, scale)?;
        if let Some(first) = ids.insert(row.id.clone(), line) {
            return Err(format!("id: line {first} has {:?} too", row.id));
        }
        rows.push(row);
        Ok(())
    })?;
    if ids.is_empty() {
        bad.add(1, "expected rated dialogues, found none");
    }
    bad.or(rows)
}

/// The dialogue that a row is.
pub(super) fn rated_row(mut row: Row) -> Result<Rated, String> {
    // What writes tables writes null for a column that the row does not have.
    row.retain(|_, value| !value.is_null());
    // Other records let a turn have more keys than these, so they are checked here.
    let turns = row.get("turns").and_then(Value::as_array);
    for (index, turn) in turns.into_iter().flatten().enumerate() {
        let mut keys = turn.as_object().into_iter().flat_map(|turn| turn.keys());
        if let Some(key) = keys.find(|key| !["speaker", "text"].contains(&key.as_str())) {
            return Err(format!(
                "turns[{index}]: unknown key `{key}`, expected speaker and text"
            ));
        }
    }
    serde_json::from_value(row.into()).map_err(|error| error.to_string())
}

pub(super) fn check(row: &Rated, scale: Scale) -> Result<(), String> {
    if row.turns.is_empty() {
        return Err("turns: expected at least one, found none".into());
    }
    if let Some(index) = row.turns.iter().position(|it| it.text.trim().is_empty()) {
        return Err(format!("turns[{index}].text: expected text, found none"));
    }
    if row.turns.iter().all(|it| it.speaker == Speaker::User) {
        return Err("turns: expected a turn of the bot, found none".into());
    }
    let on_scale = |place: &str, scores: &BTreeMap<String, f64>| {
        let mut scores = scores.iter();
        let outside = scores.find(|(_, score)| !(scale.low..=scale.high).contains(*score));
        outside.map_or(Ok(()), |(name, score)| {
            let Scale { low, high } = scale;
            Err(format!(
                "{place}.{name}: expected a number from {low} to {high}, found {score}"
            ))
        })
    };
    let mut raters = HashSet::new();
    for (index, rating) in row.ratings.iter().enumerate() {
        let place = format!("ratings[{index}]");
        if rating.scores.is_empty() {
            return Err(format!(
                "{place}.scores: expected at least one, found none; leave the rater out"
            ));
        }
        if !raters.insert(&rating.rater) {
            let rater = &rating.rater;
            return Err(format!("{place}.rater: {rater:?} has rated it already"));
        }
        on_scale(&format!("{place}.scores"), &rating.scores)?;
    }
    on_scale("truth", row.truth.as_ref().unwrap_or(&BTreeMap::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SCALE: Scale = Scale {
        low: 0.0,
        high: 10.0,
    };

    fn row(id: &str) -> Value {
        json!({
            "id": id,
            "turns": [{"speaker": "user", "text": "hi."}, {"speaker": "bot", "text": "ho."}],
            "ratings": [
                {"rater": "a", "scores": {"trust": 3, "ease": 10}},
                {"rater": "b", "scores": {"trust": 4.5}},
            ],
        })
    }

    fn read(lines: &[String]) -> Result<Vec<Rated>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rated.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        rated(&path, SCALE)
    }

    #[test]
    fn a_row_is_read_and_missing_scores_are_left_out_of_means() {
        let rows = read(&[row("x").to_string(), String::new(), row("y").to_string()]).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].id, "y");
        assert_eq!(rows[0].mean("trust"), Some(3.75));
        assert_eq!(rows[0].mean("ease"), Some(10.0));
        assert_eq!(rows[0].mean("topic"), None);
        assert_eq!(rows[0].system, "");
        // What is written is read again as it was.
        let lines: Vec<String> = rows
            .iter()
            .map(|row| serde_json::to_string(row).unwrap())
            .collect();
        assert_eq!(read(&lines).unwrap(), rows);
    }

    #[test]
    fn every_bad_row_is_named_with_its_line_and_key() {
        let changed = |change: fn(&mut Value)| {
            let mut row = row("bad");
            change(&mut row);
            row.to_string()
        };
        let lines = [
            row("good").to_string(),
            changed(|row| row["score"] = json!(1)),
            changed(|row| row["turns"] = json!([])),
            changed(|row| row["turns"][1]["text"] = json!(" ")),
            changed(|row| row["turns"][0]["mood"] = json!("x")),
            changed(|row| row["turns"][1]["speaker"] = json!("user")),
            changed(|row| row["ratings"][1]["scores"]["trust"] = json!(10.5)),
            changed(|row| row["ratings"][0]["scores"]["ease"] = json!("high")),
            changed(|row| row["ratings"][1]["rater"] = json!("a")),
            changed(|row| row["ratings"][1]["scores"] = json!({})),
            changed(|row| row["truth"] = json!({"ease": -1})),
            changed(|row| row["ratings"][0]["rate"] = json!(1)),
            row("good").to_string(),
            "{\"id\":".into(),
        ];
        let error = read(&lines).unwrap_err().to_string();
        for expected in [
            ":2: unknown field `score`",
            ":3: turns: expected at least one, found none",
            ":4: turns[1].text: expected text, found none",
            ":5: turns[0]: unknown key `mood`, expected speaker and text",
            ":6: turns: expected a turn of the bot",
            ":7: ratings[1].scores.trust: expected a number from 0 to 10, found 10.5",
            ":8: invalid type: string \"high\"",
            ":9: ratings[1].rater: \"a\" has rated it already",
            ":10: ratings[1].scores: expected at least one",
            ":11: truth.ease: expected a number from 0 to 10, found -1",
            ":12: unknown field `rate`",
            ":13: id: line 1 has \"good\" too",
            ":14: expected one JSON object a line: EOF",
        ] {
            let expected = format!("rated.jsonl{expected}");
            assert!(error.contains(&expected), "{expected}\nnot in\n{error}");
        }
        assert_eq!(error.lines().count(), 13, "{error}");
        let none = read(&["\n".into()]).unwrap_err().to_string();
        assert!(none.contains("found none"), "{none}");
    }
}
