//! Rows in TRL's columns, plain or conversational, from a file in any of the [formats](crate::formats) or a folder of
//! such.
//!
//! Plain text is used as it stands. Conversational rows, whose columns are lists of
//! `{"role": ..., "content": ...}`, are rendered by the model's chat template. Every key of a message reaches it, and
//! the columns `tools` and `chat_template_kwargs`, as in TRL.

pub(super) mod columns;
mod conversation;
mod dialogues;
mod stream;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::chat::{Message, Reply};
use crate::{Completion, Example, Prompt, Role};

pub(super) use conversation::beside;
pub use stream::{Examples, Reading};

use crate::formats::Row;
use crate::formats::json::{self, holds_not_finite, kind};
use columns::{COMMON, COMPLETED, LABELLED, MESSAGES, PREFERENCE, TEXT};
use conversation::{conversation, roles};
use stream::{Read, read};

/// Reads preference pairs: `prompt`, `chosen` and `rejected`. Without `prompt`, it is what `chosen`
/// and `rejected` begin with in common, messages or text, as in TRL. Other columns are left alone and remarked.
/// The example of the row on line 3 is called "row 3"; its chosen completion comes first.
///
/// Rows are of one group if they have the same scalar in the column `dialogue`, or, without it, if
/// their prompts go on from one another: one begins with the other, or both with a third.
///
/// # Errors
/// An unreadable file; or every bad row, with its line, the key, what was expected and found. Bad
/// rows are all found before the first example is handed out.
pub fn preference_rows<'a>(path: &Path, reading: &'a Reading<'a>) -> Result<Examples<'a>> {
    read(path, reading, move |name, row| {
        preference(name, row, reading)
    })
}

/// Reads rows to imitate: `messages`, or `prompt` and `completion`, or `text`, the first of these that
/// a row has. Each assistant message of `messages` is an example of its own, completed from the
/// messages before it, and these are a group; `text` is a completion without a prompt. Rows of prompt
/// and completion are grouped as in [`preference_rows`].
///
/// # Errors
/// As [`preference_rows`].
pub fn sft_rows<'a>(path: &Path, reading: &'a Reading<'a>) -> Result<Examples<'a>> {
    read(path, reading, move |name, row| {
        imitation(name, row, reading)
    })
}

/// Reads completions that are labelled as good or bad on their own: `prompt`, `completion` and `label`,
/// which is true or false. Rows are grouped as in [`preference_rows`].
///
/// # Errors
/// As [`preference_rows`].
pub fn labelled_rows<'a>(path: &Path, reading: &'a Reading<'a>) -> Result<Examples<'a>> {
    read(path, reading, move |name, row| labelled(name, row, reading))
}

/// A column's value.
enum Column {
    Text(String),
    Messages(Vec<Message>),
}

fn column(row: &Row, key: &str) -> Result<Column, String> {
    match &row[key] {
        Value::String(text) => Ok(Column::Text(text.clone())),
        Value::Array(list) => messages(list, key).map(Column::Messages),
        other => Err(format!(
            "{key}: expected text or a list of messages, found {}",
            kind(other)
        )),
    }
}

pub(super) fn messages(list: &[Value], key: &str) -> Result<Vec<Message>, String> {
    let message = |(index, value): (usize, &Value)| {
        let Value::Object(all) = value else {
            return Err(format!(
                "{key}[{index}]: expected an object with role and content, found {}",
                kind(value)
            ));
        };
        let mut all = all.clone();
        all.retain(|_, value| !value.is_null());
        if let Some((name, _)) = all.iter().find(|(_, value)| holds_not_finite(value)) {
            return Err(format!(
                "{key}[{index}].{name}: found NaN or Infinity, which no text can be made of"
            ));
        }
        let role = match all.get("role") {
            Some(Value::String(role)) => role.clone(),
            other => {
                let found = other.map_or("nothing", kind);
                return Err(format!("{key}[{index}].role: expected text, found {found}"));
            }
        };
        let acts = ["tool_calls", "function_call"]
            .iter()
            .any(|name| all.contains_key(*name));
        let content = match all.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => words_of(parts, &format!("{key}[{index}].content"))?,
            None if acts => String::new(),
            other => {
                let found = other.map_or("nothing", kind);
                return Err(format!(
                    "{key}[{index}].content: expected text, found {found}"
                ));
            }
        };
        Ok(Message { role, content, all })
    };
    list.iter().enumerate().map(message).collect()
}

/// The text of a content that is a list of `{"type": "text", "text": ...}`.
fn words_of(parts: &[Value], key: &str) -> Result<String, String> {
    let text = |(index, part): (usize, &Value)| match (&part["type"], &part["text"]) {
        (Value::String(kind), Value::String(text)) if kind == "text" => Ok(text.clone()),
        _ => Err(format!(
            "{key}[{index}]: expected {{\"type\": \"text\", \"text\": ...}}; images and sound are not read"
        )),
    };
    parts.iter().enumerate().map(text).collect()
}

/// Remarks the columns of a row that nothing reads.
fn remark_unread(row: &Row, read: &[&str], reading: &Reading<'_>) {
    for name in row.keys() {
        if !read.contains(&name.as_str()) && !COMMON.contains(&name.as_str()) {
            reading.remark(format!("column `{name}`, which nothing reads"));
        }
    }
}

fn preference(name: &str, row: &Row, reading: &Reading<'_>) -> Read {
    expect(row, &["chosen", "rejected"])?;
    let prompt = match row.contains_key("prompt") {
        true => Some(column(row, "prompt")?),
        false => None,
    };
    let (chosen, rejected) = (column(row, "chosen")?, column(row, "rejected")?);
    remark_unread(row, PREFERENCE, reading);
    let (prompt, replies) = match (prompt, chosen, rejected) {
        (Some(Column::Text(prompt)), Column::Text(chosen), Column::Text(rejected)) => {
            remark_plain(row, reading);
            (Prompt::Text(prompt), plain([chosen, rejected]))
        }
        (None, Column::Text(chosen), Column::Text(rejected)) => {
            remark_plain(row, reading);
            let (prompt, chosen, rejected) = split_texts(&chosen, &rejected);
            (Prompt::Text(prompt), plain([chosen, rejected]))
        }
        (Some(Column::Messages(prompt)), Column::Messages(chosen), Column::Messages(rejected)) => {
            conversation(
                &prompt,
                [("chosen", &chosen), ("rejected", &rejected)],
                row,
                reading,
            )?
        }
        // As in TRL, a prompt as text beside conversations repeats what both begin with.
        (_, Column::Messages(chosen), Column::Messages(rejected)) => {
            let both = chosen.iter().zip(&rejected);
            let shared = both.take_while(|(a, b)| a == b).count();
            // As in TRL, the shorter one's last message is a completion even if both begin with it.
            let shared = shared.min(chosen.len().min(rejected.len()).saturating_sub(1));
            conversation(
                &chosen[..shared],
                [
                    ("chosen", &chosen[shared..]),
                    ("rejected", &rejected[shared..]),
                ],
                row,
                reading,
            )?
        }
        _ => {
            return Err(
                "prompt, chosen and rejected: expected either text in all or lists of messages in all"
                    .into(),
            );
        }
    };
    let [chosen, rejected] = replies;
    let completions = vec![
        completion(chosen, Role::Chosen, "chosen")?,
        completion(rejected, Role::Rejected, "rejected")?,
    ];
    let mut example = by_prompt(name, prompt, completions);
    if let Some(margin) = row.get("margin") {
        // Only a reward model reads it, and says so where it is no number.
        if !margin.is_number() {
            reading
                .remark("column `margin` without a number, which only a reward model would read");
        }
        example.meta.insert("margin".into(), margin.clone());
    }
    Ok(vec![example])
}

/// Remarks the columns of plain text that only a chat template would read.
fn remark_plain(row: &Row, reading: &Reading<'_>) {
    for name in ["tools", "chat_template_kwargs"] {
        if row.contains_key(name) {
            reading.remark(format!(
                "column `{name}` beside plain text, which no chat template renders"
            ));
        }
    }
}

/// Texts of which all is scored.
fn plain<const N: usize>(texts: [String; N]) -> [Reply; N] {
    texts.map(|text| Reply { text, marked: None })
}

fn imitation(name: &str, row: &Row, reading: &Reading<'_>) -> Read {
    if row.contains_key("messages") {
        let messages = match column(row, "messages")? {
            Column::Messages(messages) => messages,
            // What a table cannot hold as a list may stand there as the text of one.
            Column::Text(text) => match json::value(&text) {
                Ok(Value::Array(list)) => messages(&list, "messages")?,
                _ => return Err("messages: expected a list of messages, found text".into()),
            },
        };
        remark_unread(row, MESSAGES, reading);
        return turns(name, &messages, row, reading);
    }
    if row.contains_key("completion") {
        return completed(name, row, reading, Role::Reply, COMPLETED);
    }
    if row.contains_key("text") {
        let Column::Text(text) = column(row, "text")? else {
            return Err("text: expected text, found a list".into());
        };
        remark_unread(row, TEXT, reading);
        remark_plain(row, reading);
        let [text] = plain([text]);
        let completions = vec![completion(text, Role::Reply, "text")?];
        return Ok(vec![by_prompt(
            name,
            Prompt::Text(String::new()),
            completions,
        )]);
    }
    Err(format!(
        "expected the keys messages, or prompt and completion, or text; found {}",
        keys(row)
    )
    .into())
}

fn labelled(name: &str, row: &Row, reading: &Reading<'_>) -> Read {
    expect(row, LABELLED)?;
    let role = match &row["label"] {
        Value::Bool(true) => Role::Desirable,
        Value::Bool(false) => Role::Undesirable,
        other => {
            return Err(format!("label: expected true or false, found {}", kind(other)).into());
        }
    };
    completed(name, row, reading, role, LABELLED)
}

/// The example of a row's prompt and completion.
fn completed(name: &str, row: &Row, reading: &Reading<'_>, role: Role, read: &[&str]) -> Read {
    expect(row, COMPLETED)?;
    remark_unread(row, read, reading);
    let (prompt, [reply]) = match (column(row, "prompt")?, column(row, "completion")?) {
        (Column::Text(prompt), Column::Text(text)) => {
            remark_plain(row, reading);
            (Prompt::Text(prompt), plain([text]))
        }
        (Column::Messages(prompt), Column::Messages(reply)) => {
            conversation(&prompt, [("completion", &reply)], row, reading)?
        }
        _ => {
            return Err(
                "prompt and completion: expected either text in both or lists of messages in both"
                    .into(),
            );
        }
    };
    let completions = vec![completion(reply, role, "completion")?];
    Ok(vec![by_prompt(name, prompt, completions)])
}

/// One example for each of the assistant's replies: a message, or several in a row.
fn turns(name: &str, messages: &[Message], row: &Row, reading: &Reading<'_>) -> Read {
    roles(messages, "messages", reading)?;
    let mut examples = Vec::new();
    let is_reply = |at: usize| messages.get(at).is_some_and(|it| it.role == "assistant");
    for index in (0..messages.len()).filter(|at| is_reply(*at) && (*at == 0 || !is_reply(at - 1))) {
        let end = (index..)
            .find(|at| !is_reply(*at))
            .unwrap_or(messages.len());
        let key = format!("messages[{index}]");
        let (history, reply) = (&messages[..index], &messages[index..end]);
        let (prompt, [reply]) = conversation(history, [(&key, reply)], row, reading)?;
        let completions = vec![completion(reply, Role::Reply, &key)?];
        examples.push(Example {
            id: format!("row {name}:{index}"),
            group: format!("row {name}"),
            prompt,
            completions,
            meta: Default::default(),
        });
    }
    if examples.is_empty() {
        return Err("messages: expected a message whose role is \"assistant\"".into());
    }
    Ok(examples)
}

/// The common beginning of two texts, without a space before they part, and what is left of each. As
/// in TRL, a text that the other one begins with keeps its last character as its completion.
fn split_texts(chosen: &str, rejected: &str) -> (String, String, String) {
    let mut end = 0;
    for ((index, one), other) in chosen.char_indices().zip(rejected.chars()) {
        end = index;
        if one != other {
            end -= usize::from(chosen[..index].ends_with(' '));
            break;
        }
    }
    let rest = |text: &str| text[end..].to_owned();
    (chosen[..end].to_owned(), rest(chosen), rest(rejected))
}

fn expect(row: &Row, expected: &[&str]) -> Result<(), String> {
    match expected.iter().find(|key| !row.contains_key(**key)) {
        None => Ok(()),
        Some(missing) => Err(format!(
            "{missing}: expected this key beside the others; found {}",
            keys(row)
        )),
    }
}

fn keys(row: &Row) -> String {
    match row.is_empty() {
        true => "no keys".into(),
        false => row.keys().cloned().collect::<Vec<_>>().join(", "),
    }
}

fn completion(reply: Reply, role: Role, key: &str) -> Result<Completion, String> {
    if reply.text.trim().is_empty() {
        return Err(match reply.text.is_empty() {
            true => format!("{key}: expected a completion, found none"),
            false => format!("{key}: expected a completion, found only white space"),
        });
    }
    Ok(Completion {
        scored: reply.marked,
        ..Completion::new(reply.text, role)
    })
}

/// A row's only example, whose group follows from its prompt.
fn by_prompt(name: &str, prompt: Prompt, completions: Vec<Completion>) -> Example {
    Example {
        id: format!("row {name}"),
        group: String::new(),
        prompt,
        completions,
        meta: Default::default(),
    }
}
