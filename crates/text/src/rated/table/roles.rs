//! Which column of a table holds what.

use serde_json::Value;

use super::form::{ScoreColumns, Scores, TableForm};
use super::records::Record;

/// Names that a column commonly has, the likelier first.
const TEXT: [&str; 6] = [
    "text",
    "turns",
    "messages",
    "conversation",
    "context",
    "utterances",
];
const DIALOGUE: [&str; 6] = [
    "dialogue_id",
    "dialog_id",
    "conversation_id",
    "dialogue",
    "dialog",
    "id",
];
const RATER: [&str; 6] = [
    "rater",
    "rater_id",
    "annotator",
    "annotator_id",
    "worker_id",
    "judge",
];
const SPEAKER: [&str; 3] = ["speaker", "user_id", "user"];
const SYSTEM: [&str; 4] = ["system", "system_id", "model", "bot"];

/// The columns of a file by what they hold.
pub struct Roles {
    pub text: String,
    pub role: Option<String>,
    pub dialogue: Option<String>,
    pub rater: Option<String>,
    pub speaker: Option<String>,
    pub system: Option<String>,
    /// Impression column and score column.
    pub single: Option<[String; 2]>,
    pub scores: Vec<ScoreColumns>,
}

impl Roles {
    /// As the form names them, and by common names.
    ///
    /// # Errors
    /// A column that is not among those `known`, or that is wanted and not named, in words.
    pub fn of(form: &TableForm, known: &[String], records: &[Record]) -> Result<Self, String> {
        let is_known = |name: &str| known.iter().any(|it| it == name);
        let named = |key: &str, name: &Option<String>, common: &[&str]| match name {
            Some(name) if is_known(name) => Ok(Some(name.clone())),
            Some(name) => Err(format!("columns.{key}: there is no column {name:?}")),
            None => {
                let common = common.iter().find(|name| is_known(name));
                Ok(common.map(ToString::to_string))
            }
        };
        let columns = &form.columns;
        let text = named("text", &columns.text, &TEXT)?
            .ok_or("which column holds the dialogue? name it with columns.text")?;
        let role = named("role", &columns.role, &[])?;
        // A common name says nothing of a column that is named as another.
        let others =
            |name: Option<String>| name.filter(|name| *name != text && role.as_ref() != Some(name));
        let dialogue = others(named("dialogue", &columns.dialogue, &DIALOGUE)?);
        if role.is_some() && dialogue.is_none() {
            let message = "a row is a turn with columns.role: name the column that tells dialogues apart with";
            return Err(format!("{message} columns.dialogue"));
        }
        let rater = others(named("rater", &columns.rater, &RATER)?);
        let speaker = others(named("speaker", &columns.speaker, &SPEAKER)?);
        let system = others(named("system", &columns.system, &SYSTEM)?);
        let single = match (
            named("impression", &columns.impression, &[])?,
            named("score", &columns.score, &[])?,
        ) {
            (Some(impression), Some(score)) => Some([impression, score]),
            (None, None) => None,
            _ => return Err("columns.impression and columns.score belong together".into()),
        };
        let others = [&dialogue, &role, &rater, &speaker, &system];
        let taken: Vec<&String> = others.into_iter().flatten().chain([&text]).collect();
        let scores = match (&single, &form.scores) {
            (Some(_), _) => Vec::new(),
            (None, Scores::Named(named)) => named.clone(),
            (None, Scores::Found) => {
                let free = known.iter().filter(|name| !taken.contains(name));
                numeric(free, records)
            }
        };
        if single.is_none() && scores.is_empty() {
            return Err(
                "no column holds numbers alone; name those with scores with scores, or a list of ratings within a \
                 row with columns.ratings"
                    .into(),
            );
        }
        let absent = scores.iter().flat_map(|it| &it.columns);
        if let Some(name) = absent.into_iter().find(|name| !is_known(name)) {
            return Err(format!("scores: there is no column {name:?}"));
        }
        Ok(Self {
            text,
            role,
            dialogue,
            rater,
            speaker,
            system,
            single,
            scores,
        })
    }

    /// The columns that tell dialogues, and ratings of one, apart.
    pub fn apart(&self) -> Vec<&str> {
        let columns = [&self.dialogue, &self.rater, &self.speaker, &self.system];
        columns.into_iter().flatten().map(String::as_str).collect()
    }

    /// Which columns were taken for what.
    pub fn note(&self) -> String {
        let of = |name: &Option<String>| match name {
            Some(name) => format!("{name:?}"),
            None => "none".to_owned(),
        };
        let scores: Vec<String> = match &self.single {
            Some([impression, score]) => {
                vec![format!("{score:?} of the impression {impression:?}")]
            }
            None => {
                let scores = self.scores.iter();
                scores
                    .map(|it| format!("{} {:?}", it.impression, it.columns))
                    .collect()
            }
        };
        format!(
            "columns read: text {:?}, dialogue {}, rater {}, speaker {}, system {}; scores {}",
            self.text,
            of(&self.dialogue),
            of(&self.rater),
            of(&self.speaker),
            of(&self.system),
            scores.join(", ")
        )
    }
}

/// The columns that hold numbers or nothing, and a number at least once, each an impression.
fn numeric<'a>(columns: impl Iterator<Item = &'a String>, records: &[Record]) -> Vec<ScoreColumns> {
    let holds_numbers = |name: &str| {
        let mut any = false;
        for cell in records.iter().filter_map(|record| record.cells.get(name)) {
            match number(cell) {
                Ok(found) => any |= found.is_some(),
                Err(()) => return false,
            }
        }
        any
    };
    let columns: Vec<&String> = columns.filter(|name| holds_numbers(name)).collect();
    let short = |name: &str| name.rsplit('.').next().unwrap_or(name).trim().to_owned();
    let twice = |it: &str| columns.iter().filter(|name| short(name) == it).count() > 1;
    let one = |name: &&String| {
        let impression = short(name);
        ScoreColumns {
            impression: if twice(&impression) || impression.is_empty() {
                (*name).clone()
            } else {
                impression
            },
            columns: vec![(*name).clone()],
        }
    };
    columns.iter().map(one).collect()
}

/// The number in a cell, nothing in one that holds none, and an error for anything else.
pub fn number(cell: &Value) -> Result<Option<f64>, ()> {
    match cell {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64().filter(|it| it.is_finite())),
        Value::String(text) => {
            let text = text.trim();
            let missing = ["", "-", "na", "n/a", "nan", "null", "none"];
            if missing.contains(&text.to_lowercase().as_str()) {
                return Ok(None);
            }
            let number = text.parse::<f64>().ok().filter(|it| it.is_finite());
            number.map(Some).ok_or(())
        }
        _ => Err(()),
    }
}
