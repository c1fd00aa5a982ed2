//! RealPersonaChat (Yamashita et al., 2023, PACLIC 37): Japanese chats of two people, each of whom then scores it
//! from 1 to 5 in six respects.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rapport_store::{BadInput, OrBadInput, hash_bytes};
use serde::Deserialize;

use crate::archive::{Form, visit};
use crate::rated_table::Found;
use crate::{Rated, Rating, Scale, Speaker, Turn, rated};

pub(super) const FORM: Form = Form {
    name: "RealPersonaChat",
    folders: &["dialogues", "interlocutors.json"],
};

/// The scale of all its scores.
pub const SCALE: Scale = Scale {
    low: 1.0,
    high: 5.0,
};

#[derive(Deserialize)]
pub(super) struct Record {
    pub dialogue_id: u64,
    pub interlocutors: [String; 2],
    pub utterances: Vec<Utterance>,
    evaluations: Vec<Evaluation>,
}

#[derive(Deserialize)]
pub(super) struct Utterance {
    pub interlocutor_id: String,
    text: String,
}

impl Utterance {
    /// Its text on one line.
    pub fn line(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[derive(Deserialize)]
struct Evaluation {
    interlocutor_id: String,
    #[serde(flatten)]
    scores: BTreeMap<String, Option<f64>>,
}

/// Reads the archive, or the folder it was unpacked to: two views of each dialogue. In a view one of the two is the
/// rater and the `user`; the other is the `bot`, whose name is the view's `system`. Line breaks within a turn become
/// spaces, and turns without text are left out. A dialogue that is there again under one number, word for word, as two
/// of the data set's are, is read once.
///
/// # Errors
/// What is no such archive or folder; a dialogue in another form or with scores outside the scale, by its file.
pub fn real_persona_chat(path: &Path) -> Result<Found> {
    let mut found = Found::default();
    found.repeated = records(path, |record| {
        found.rows.extend(record.views()?);
        Ok(())
    })?;
    Ok(found)
}

/// Calls `each` with every dialogue, one that is there again once; how many were.
///
/// # Errors
/// As [`real_persona_chat`], and what `each` finds wrong, by the dialogue's file.
pub(super) fn records(path: &Path, mut each: impl FnMut(&Record) -> Result<()>) -> Result<usize> {
    let mut repeated = 0;
    let mut known = HashMap::new();
    visit(path, &FORM, "dialogues", |_, bytes| {
        let record: Record = serde_json::from_slice(bytes)
            .context(
                "expected a dialogue_id, two interlocutors, utterances and evaluations; fetch the data again",
            )
            .or_bad_input()?;
        record.check().or_bad_input()?;
        let hash = hash_bytes(bytes);
        match known.insert(record.dialogue_id, hash.clone()) {
            None => each(&record).or_bad_input()?,
            Some(before) if before == hash => repeated += 1,
            Some(_) => {
                let id = record.dialogue_id;
                let message = format!("dialogue_id: another dialogue has {id} too");
                return Err(BadInput(message).into());
            }
        }
        Ok(())
    })?;
    Ok(repeated)
}

impl Record {
    /// Whether it is of its two people alone.
    fn check(&self) -> Result<()> {
        let [one, other] = &self.interlocutors;
        for name in self
            .utterances
            .iter()
            .map(|it| &it.interlocutor_id)
            .chain(self.evaluations.iter().map(|it| &it.interlocutor_id))
        {
            ensure!(
                [one, other].contains(&name),
                "interlocutor_id: expected {one:?} or {other:?}, found {name:?}"
            );
        }
        Ok(())
    }

    fn views(&self) -> Result<Vec<Rated>> {
        let [one, other] = &self.interlocutors;
        let views = [(one, other), (other, one)].map(|(rater, partner)| self.view(rater, partner));
        views.into_iter().collect()
    }

    fn view(&self, rater: &str, partner: &str) -> Result<Rated> {
        let turns = self.utterances.iter().map(|it| Turn {
            speaker: if it.interlocutor_id == rater {
                Speaker::User
            } else {
                Speaker::Bot
            },
            text: it.line(),
        });
        let given = self.evaluations.iter();
        let ratings = given
            .filter(|it| it.interlocutor_id == rater)
            .map(|it| Rating {
                rater: rater.to_owned(),
                scores: it
                    .scores
                    .iter()
                    .filter_map(|(name, score)| Some((name.clone(), (*score)?)))
                    .collect(),
            });
        let row = Rated {
            id: format!("{:05}:{rater}", self.dialogue_id),
            dialogue: format!("{:05}", self.dialogue_id),
            system: partner.to_owned(),
            speaker: rater.to_owned(),
            turns: turns.filter(|turn| !turn.text.is_empty()).collect(),
            ratings: ratings.filter(|it| !it.scores.is_empty()).collect(),
            truth: None,
        };
        rated::check(&row, SCALE).map_err(anyhow::Error::msg)?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn dialogue(id: u64) -> Value {
        let says = |index: u64, who: &str, text: &str| json!({"utterance_id": index, "interlocutor_id": who, "text": text, "timestamp": "NaT"});
        json!({
            "dialogue_id": id,
            "interlocutors": ["AA", "AB"],
            "utterances": [says(0, "AA", "今日は。"), says(1, "AB", "はい、\n今日は！"), says(2, "AA", " ")],
            "evaluations": [
                {"interlocutor_id": "AA", "interest": 5, "satisfaction": null},
                {"interlocutor_id": "AB", "interest": 2, "satisfaction": 3},
            ],
        })
    }

    fn read(dialogues: &[Value]) -> Result<Found, String> {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("real_persona_chat/dialogues");
        std::fs::create_dir_all(&folder).unwrap();
        for (index, dialogue) in dialogues.iter().enumerate() {
            std::fs::write(folder.join(format!("{index}.json")), dialogue.to_string()).unwrap();
        }
        real_persona_chat(dir.path()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn each_side_rates_the_other() {
        let found = read(&[dialogue(7), dialogue(7)]).unwrap();
        let rows = found.rows;
        assert_eq!((rows.len(), found.repeated), (2, 1));
        let [first, second] = &rows[..] else {
            unreachable!()
        };
        assert_eq!((&*first.id, &*second.id), ("00007:AA", "00007:AB"));
        assert_eq!(first.dialogue, second.dialogue);
        assert_eq!((&*first.speaker, &*first.system), ("AA", "AB"));
        let turns: Vec<_> = first
            .turns
            .iter()
            .map(|it| (it.speaker, &*it.text))
            .collect();
        assert_eq!(
            turns,
            [
                (Speaker::User, "今日は。"),
                (Speaker::Bot, "はい、 今日は！")
            ]
        );
        assert_eq!(second.turns[0].speaker, Speaker::Bot);
        assert_eq!(first.mean("interest"), Some(5.0));
        assert_eq!(first.mean("satisfaction"), None);
        assert_eq!(second.mean("satisfaction"), Some(3.0));
    }

    #[test]
    fn another_form_is_named_by_file_and_key() {
        let changed = |change: fn(&mut Value)| {
            let mut it = dialogue(1);
            change(&mut it);
            read(&[dialogue(2), it]).unwrap_err()
        };
        let other = changed(|it| {
            it["dialogue_id"] = json!(2);
            it["evaluations"] = json!([]);
        });
        assert!(
            other.contains("dialogues/1.json: dialogue_id: another dialogue has 2 too"),
            "{other}"
        );
        for (error, expected) in [
            (
                changed(|it| it["evaluations"][0]["interest"] = json!(6)),
                "scores.interest: expected a number from 1 to 5",
            ),
            (
                changed(|it| it["utterances"][0]["interlocutor_id"] = json!("AC")),
                "expected \"AA\" or \"AB\", found \"AC\"",
            ),
            (
                changed(|it| it["utterances"] = json!("none")),
                "expected a dialogue_id, two interlocutors",
            ),
        ] {
            assert!(
                error.contains("dialogues/1.json") && error.contains(expected),
                "{error}"
            );
        }
    }
}
