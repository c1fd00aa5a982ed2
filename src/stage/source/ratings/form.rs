//! The form that the user's ratings are in.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Error, Result};

use crate::data::dstc9::{self, dstc9};
use crate::data::rated_table::{Columns, Found, ScoreColumns, Scores, TableForm, names, table};
use crate::data::real_persona_chat::{self, real_persona_chat};
use crate::data::utterances::Sides;
use crate::data::{Scale, Speaker, rated};
use crate::stage::settings::keys::{Keys, Value};

/// Bounds of what a scale may be.
const ANY: std::ops::RangeInclusive<f64> = -1e6..=1e6;

/// How files are read.
pub enum Form {
    Rapport {
        scale: Scale,
        /// Whether the recipe says so.
        said: bool,
    },
    RealPersonaChat,
    Dstc9,
    Table(Box<TableForm>),
}

impl Form {
    /// Reads the key `format` and those that it opens.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        keys.doc("the form of the files").variant(
            "format",
            "rapport",
            &[
                ("rapport", |keys| Form::Rapport {
                    scale: scale(keys),
                    said: keys.has("format"),
                }),
                ("real-persona-chat", |_| Form::RealPersonaChat),
                ("dstc9", |_| Form::Dstc9),
                ("table", |keys| {
                    Form::Table(Box::new(TableForm {
                        scale: scale(keys),
                        columns: columns(keys),
                        scores: scores(keys),
                        scales: scales(keys),
                        settable: true,
                        sides: sides(keys),
                    }))
                }),
            ],
        )
    }

    /// The scale of the scores, as they are read.
    pub fn scale(&self) -> Scale {
        match self {
            Form::Rapport { scale, .. } => *scale,
            Form::RealPersonaChat => real_persona_chat::SCALE,
            Form::Dstc9 => dstc9::SCALE,
            Form::Table(form) => form.scale,
        }
    }

    /// Whether each split can have a file of its own.
    pub fn has_files(&self) -> bool {
        matches!(self, Form::Rapport { .. } | Form::Table(_))
    }

    /// Reads a file or folder.
    ///
    /// # Errors
    /// Those of the form's reader.
    pub fn open(&self, path: &Path) -> Result<Found> {
        let plain = |rows| Found {
            rows,
            ..Default::default()
        };
        match self {
            Form::Rapport { scale, said } => {
                let rows = rated::rated(path, *scale);
                let rows = rows.map_err(|error| if *said { error } else { hint(path, error) });
                rows.map(plain)
            }
            Form::RealPersonaChat => real_persona_chat(path),
            Form::Dstc9 => dstc9(path),
            Form::Table(form) => table(path, form),
        }
    }
}

/// Says which columns a file has that nobody called a table.
fn hint(path: &Path, error: Error) -> Error {
    match names(path) {
        Ok(names) if !names.is_empty() => Error::msg(format!(
            "{error}\nIts rows have {names:?}. If these are ratings in a form of their own, set format = \"table\" and name \
             the columns: columns.text for the dialogue, columns.dialogue, columns.rater, columns.speaker, columns.system, \
             and scores for those with scores"
        )),
        _ => error,
    }
}

fn scale(keys: &mut Keys<'_>) -> Scale {
    let low = keys
        .doc("the lowest score there can be")
        .float("low", 0.0, ANY);
    let high = keys
        .doc("the highest score there can be")
        .float("high", 10.0, ANY);
    if low >= high {
        let message = format!("expected a number above low, which is {low}, found {high}");
        keys.problem("high", message);
    }
    Scale { low, high }
}

fn columns(keys: &mut Keys<'_>) -> Columns {
    let mut keys = keys.table("columns");
    let mut column = |key: &str, doc: &'static str| {
        let name = keys.doc(doc).string(key, "");
        (!name.is_empty()).then_some(name)
    };
    Columns {
        text: column("text", "the dialogue"),
        dialogue: column("dialogue", "what tells dialogues apart"),
        role: column("role", "who says the text, where a row is a single turn"),
        rater: column("rater", "who rates"),
        speaker: column("speaker", "who speaks with the bot"),
        system: column("system", "which bot it is"),
        ratings: column("ratings", "a list of objects, one a rater"),
        impression: column("impression", "what is rated, where a row holds one score"),
        score: column("score", "that score"),
    }
}

/// `scores`: a list of columns, or a table of impressions with a column, or one for each rater.
fn scores(keys: &mut Keys<'_>) -> Scores {
    let table = keys.raw("scores").and_then(|node| node.as_table());
    let Some(table) = table else {
        let names = keys
            .doc("the columns that hold scores, or a table of impressions and their columns; default: all with numbers")
            .strings("scores", Some(&[]));
        let named = names.into_iter().map(|name| ScoreColumns {
            impression: name.clone(),
            columns: vec![name],
        });
        let named: Vec<ScoreColumns> = named.collect();
        return if named.is_empty() {
            Scores::Found
        } else {
            Scores::Named(named)
        };
    };
    let mut keys = keys.table("scores");
    let named = table.0.iter().map(|(impression, node)| ScoreColumns {
        impression: impression.clone(),
        columns: match node.value {
            Value::Array(_) => keys.strings(impression, None),
            _ => vec![keys.string(impression, None)],
        },
    });
    Scores::Named(named.collect())
}

/// `scales`: a table of impressions, each with the lowest and the highest score.
fn scales(keys: &mut Keys<'_>) -> BTreeMap<String, Scale> {
    let names: Vec<String> = match keys.raw("scales").and_then(|node| node.as_table()) {
        Some(table) => table.names().into_iter().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let mut keys = keys.table("scales");
    let mut scales = BTreeMap::new();
    for name in names {
        match keys.floats(&name, None, ANY)[..] {
            [low, high] if low < high => {
                scales.insert(name, Scale { low, high });
            }
            _ => keys.problem(&name, "expected two numbers, the lower one first"),
        }
    }
    scales
}

fn sides(keys: &mut Keys<'_>) -> Sides {
    let default = Sides::default();
    let mut names = |key: &str, doc: &'static str, default: &[String]| {
        let default: Vec<&str> = default.iter().map(String::as_str).collect();
        keys.doc(doc).strings(key, Some(&default))
    };
    Sides {
        user: names(
            "user_names",
            "names of who speaks with the bot",
            &default.user,
        ),
        bot: names("bot_names", "names of the bot, who is rated", &default.bot),
        ignored: names(
            "ignored_names",
            "names whose turns are left out",
            &default.ignored,
        ),
        first: keys.doc("who begins where nobody is named").one_of(
            "first",
            "user",
            &[("user", Speaker::User), ("bot", Speaker::Bot)],
        ),
    }
}
