//! Rows to be scored, in any of the [formats](crate::formats), each in one of these forms (the first whose keys a row
//! has):
//!
//! - a [rated dialogue](crate::rated): `id` and `turns`, ratings or not;
//! - `messages`, a conversation;
//! - `prompt` and `completion`, or a pair of `chosen` and `rejected` with a `prompt` or without: text, scored as it
//!   stands, or lists of messages;
//! - `premise`, a sentence of a persona, and `hypothesis`, a reply, for a classifier.
//!
//! All but the first may have an `id`, a string or a number; the line's number stands in for one. Other columns of
//! theirs are left alone, but for `tools` and `chat_template_kwargs`, which a chat template is given as in training.
//!
//! A model that learned from conversations reads rated dialogues and messages by its chat template. Any other reads
//! the roles user and assistant as a transcript; messages of the role system are left out and counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::chat::{Beside, ChatTemplate, Message};
use crate::formats::json::kind;
use crate::formats::{Row, each};
use crate::lines::BadLines;
use crate::render::{turn_messages, whole};
use crate::rows::{Reading, beside, messages};
use crate::{Prompt, Scale, Speaker, Turn, rated};

/// A text to be scored.
#[derive(Clone, Debug, PartialEq)]
pub struct ToScore {
    pub id: Value,
    /// Which side of a pair it is.
    pub side: Option<&'static str>,
    pub text: Scorable,
    /// The mean of each impression's ratings, where the row has any.
    pub ratings: BTreeMap<String, f64>,
}

impl ToScore {
    /// Whether it is written by a template or as a transcript.
    pub fn is_conversation(&self) -> bool {
        match &self.text {
            Scorable::Dialogue(_) => true,
            Scorable::Text { prompt, .. } => prompt.rendered(),
            Scorable::Pair { .. } => false,
        }
    }
}

/// What is scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Scorable {
    Dialogue(Vec<Turn>),
    Text { prompt: Prompt, completion: String },
    Pair { premise: String, hypothesis: String },
}

/// What the model that is to score reads.
#[derive(Clone, Copy, Debug)]
pub struct Reads<'a> {
    /// Whether it tells classes apart.
    pub classifier: bool,
    /// What writes conversations, where it learned from such.
    pub template: Option<&'a ChatTemplate>,
}

/// Reads a file's rows, a pair's chosen side before its rejected one, and how many messages of the role system were
/// left out.
///
/// # Errors
/// An unreadable file; or every bad row, by its place: none of the forms, an empty text, no turn of the bot, an unknown
/// role or what the template refuses, an id that an earlier row has, `premise` and `hypothesis` where the model is no
/// classifier.
pub fn to_score(path: &Path, reads: Reads<'_>) -> Result<(Vec<ToScore>, usize)> {
    let mut bad = BadLines::new(path);
    let (mut rows, mut left_out) = (Vec::new(), 0);
    let mut ids: HashMap<String, usize> = HashMap::new();
    each(path, &mut bad, |line, read| {
        let found = row(line, read, reads, &mut left_out)?;
        let id = found[0].id.to_string();
        if let Some(first) = ids.insert(id.clone(), line) {
            return Err(format!("id: line {first} has {id} too"));
        }
        rows.extend(found);
        Ok(())
    })?;
    if rows.is_empty() && bad.is_empty() {
        bad.add(1, "expected rows to score, found none");
    }
    bad.or((rows, left_out))
}

/// What a row holds: one text, or both sides of a pair.
fn row(
    line: usize,
    mut row: Row,
    reads: Reads<'_>,
    left_out: &mut usize,
) -> Result<Vec<ToScore>, String> {
    row.retain(|_, value| !value.is_null());
    if row.contains_key("turns") {
        return Ok(vec![dialogue(row, reads.template)?]);
    }
    let beside = beside(&row, &Reading::by(reads.template, false))?;
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
    let mut conversation = |list: &[Message], key: &str| match reads.template {
        Some(template) => by_template(template, list, &beside, key),
        None => {
            let (turns, system) = turns(list, key)?;
            *left_out += system;
            Ok(Scorable::Dialogue(turns))
        }
    };
    let one = |side, text| ToScore {
        id: id.clone(),
        side,
        text,
        ratings: BTreeMap::new(),
    };
    let mut completed = |key: &str| match (row.get("prompt"), &row[key]) {
        (None, Value::Array(list)) => conversation(&messages(list, key)?, key),
        (Some(Value::Array(prompt)), Value::Array(list)) => {
            let both = [messages(prompt, "prompt")?, messages(list, key)?];
            conversation(&both.concat(), key)
        }
        (prompt, _) => Ok(Scorable::Text {
            prompt: Prompt::Text(match prompt {
                None => String::new(),
                Some(_) => words(&row, "prompt")?,
            }),
            completion: filled(&row, key)?,
        }),
    };
    let text = if let Some(value) = row.get("messages") {
        let Value::Array(list) = value else {
            return Err(format!(
                "messages: expected a list of messages, found {}",
                kind(value)
            ));
        };
        conversation(&messages(list, "messages")?, "messages")?
    } else if row.contains_key("completion") {
        completed("completion")?
    } else if row.contains_key("chosen") && row.contains_key("rejected") {
        let sides = ["chosen", "rejected"];
        let both = sides.map(|side| Ok(one(Some(side), completed(side)?)));
        return both.into_iter().collect();
    } else if row.contains_key("premise") || row.contains_key("hypothesis") {
        if !reads.classifier {
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
            "expected the keys turns, or messages, or prompt and completion, or chosen and rejected, or premise and \
             hypothesis; found {}",
            match keys.is_empty() {
                true => "none".to_owned(),
                false => keys.join(", "),
            }
        ));
    };
    Ok(vec![one(None, text)])
}

/// A conversation as the template writes it.
fn by_template(
    template: &ChatTemplate,
    messages: &[Message],
    beside: &Beside,
    key: &str,
) -> Result<Scorable, String> {
    spoken(messages, key)?;
    let (prompt, completion) =
        whole(template, messages, beside).map_err(|error| format!("{key}: {error:#}"))?;
    Ok(Scorable::Text { prompt, completion })
}

/// Refuses messages of which none is the assistant's, or one is empty.
fn spoken(messages: &[Message], key: &str) -> Result<(), String> {
    for (index, message) in messages.iter().enumerate() {
        if message.content.trim().is_empty() {
            return Err(format!("{key}[{index}].content: expected text, found none"));
        }
    }
    match messages.iter().any(|message| message.role == "assistant") {
        true => Ok(()),
        false => Err(format!(
            "{key}: expected one of the role assistant, found none"
        )),
    }
}

fn dialogue(row: Row, template: Option<&ChatTemplate>) -> Result<ToScore, String> {
    let row = rated::rated_row(row)?;
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
    let text = match template {
        Some(template) => {
            let messages = turn_messages(&row.turns);
            by_template(template, &messages, &Beside::default(), "turns")?
        }
        None => Scorable::Dialogue(row.turns),
    };
    Ok(ToScore {
        id: row.id.into(),
        side: None,
        text,
        ratings,
    })
}

/// Messages as turns, and how many of the role system there were.
fn turns(list: &[Message], key: &str) -> Result<(Vec<Turn>, usize), String> {
    let (mut turns, mut system) = (Vec::new(), 0);
    for (index, message) in list.iter().enumerate() {
        let speaker = match &*message.role {
            "user" => Speaker::User,
            "assistant" => Speaker::Bot,
            "system" => {
                system += 1;
                continue;
            }
            other => {
                return Err(format!(
                    "{key}[{index}].role: expected user, assistant or system, found {other:?}"
                ));
            }
        };
        turns.push(Turn {
            speaker,
            text: message.content.clone(),
        });
    }
    spoken(list, key)?;
    Ok((turns, system))
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
mod tests;
