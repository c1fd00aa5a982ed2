//! Rows in TRL's columns, plain or conversational, from JSON Lines.
//!
//! Plain text is used as it stands. Conversational rows, whose columns are lists of
//! `{"role": ..., "content": ...}`, are rendered by the model's chat template.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::data::chat::{ChatTemplate, Message};
use crate::data::row_stream::{Examples, NO_TEMPLATE, Read, Row, read};
use crate::data::{Completion, Example, Prompt, Role};

/// Reads preference pairs: `prompt`, `chosen` and `rejected`. Without `prompt`, it is what `chosen`
/// and `rejected` begin with in common, messages or text, as in TRL. Other columns are left alone.
/// The example of the row on line 3 is called "row 3"; its chosen completion comes first.
///
/// Rows are of one group if they have the same scalar in the column `dialogue`, or, without it, if
/// their prompts go on from one another: one begins with the other, or both with a third.
///
/// # Errors
/// An unreadable file; or every bad row, with its line, the key, what was expected and found. Bad
/// rows are all found before the first example is handed out.
pub fn preference_rows<'a>(
    path: &Path,
    template: Option<&'a ChatTemplate>,
) -> Result<Examples<'a>> {
    read(path, move |line, row| preference(line, row, template))
}

/// Reads rows to imitate: `messages`, or `prompt` and `completion`, or `text`, the first of these that
/// a row has. Each assistant message of `messages` is an example of its own, completed from the
/// messages before it, and these are a group; `text` is a completion without a prompt. Rows of prompt
/// and completion are grouped as in [`preference_rows`].
///
/// # Errors
/// As [`preference_rows`].
pub fn sft_rows<'a>(path: &Path, template: Option<&'a ChatTemplate>) -> Result<Examples<'a>> {
    read(path, move |line, row| imitation(line, row, template))
}

/// Reads completions that are labelled as good or bad on their own: `prompt`, `completion` and `label`,
/// which is true or false. Rows are grouped as in [`preference_rows`].
///
/// # Errors
/// As [`preference_rows`].
pub fn labelled_rows<'a>(path: &Path, template: Option<&'a ChatTemplate>) -> Result<Examples<'a>> {
    read(path, move |line, row| labelled(line, row, template))
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
        let field = |name: &str| match &value[name] {
            Value::String(text) => Ok(text.clone()),
            other => Err(format!(
                "{key}[{index}].{name}: expected text, found {}",
                kind(other)
            )),
        };
        Ok(Message {
            role: field("role")?,
            content: field("content")?,
        })
    };
    list.iter().enumerate().map(message).collect()
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn preference(line: usize, row: &Row, template: Option<&ChatTemplate>) -> Read {
    expect(row, &["chosen", "rejected"])?;
    let prompt = match row.contains_key("prompt") {
        true => Some(column(row, "prompt")?),
        false => None,
    };
    let (chosen, rejected) = (column(row, "chosen")?, column(row, "rejected")?);
    let (prompt, texts) = match (prompt, chosen, rejected) {
        (Some(Column::Text(prompt)), Column::Text(chosen), Column::Text(rejected)) => {
            (Prompt::Text(prompt), [chosen, rejected])
        }
        (None, Column::Text(chosen), Column::Text(rejected)) => {
            let (prompt, chosen, rejected) = split_texts(&chosen, &rejected);
            (Prompt::Text(prompt), [chosen, rejected])
        }
        (Some(Column::Messages(prompt)), Column::Messages(chosen), Column::Messages(rejected)) => {
            conversation(
                &prompt,
                [("chosen", &chosen), ("rejected", &rejected)],
                template,
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
                template,
            )?
        }
        _ => {
            return Err(
                "prompt, chosen and rejected: expected either text in all or lists of messages in all"
                    .into(),
            );
        }
    };
    let [chosen, rejected] = texts;
    let completions = vec![
        completion(chosen, Role::Chosen, "chosen")?,
        completion(rejected, Role::Rejected, "rejected")?,
    ];
    let mut example = by_prompt(line, prompt, completions);
    if let Some(margin) = row.get("margin").filter(|it| !it.is_null()) {
        if !margin.is_number() {
            return Err(format!("margin: expected a number, found {margin}"));
        }
        example.meta.insert("margin".into(), margin.clone());
    }
    Ok(vec![example])
}

fn imitation(line: usize, row: &Row, template: Option<&ChatTemplate>) -> Read {
    if row.contains_key("messages") {
        let Column::Messages(messages) = column(row, "messages")? else {
            return Err("messages: expected a list of messages, found text".into());
        };
        return turns(line, &messages, template);
    }
    if row.contains_key("completion") {
        return completed(line, row, template, Role::Reply);
    }
    if row.contains_key("text") {
        let Column::Text(text) = column(row, "text")? else {
            return Err("text: expected text, found a list".into());
        };
        let completions = vec![completion(text, Role::Reply, "text")?];
        return Ok(vec![by_prompt(
            line,
            Prompt::Text(String::new()),
            completions,
        )]);
    }
    Err(format!(
        "expected the keys messages, or prompt and completion, or text; found {}",
        keys(row)
    ))
}

fn labelled(line: usize, row: &Row, template: Option<&ChatTemplate>) -> Read {
    expect(row, &["prompt", "completion", "label"])?;
    let role = match &row["label"] {
        Value::Bool(true) => Role::Desirable,
        Value::Bool(false) => Role::Undesirable,
        other => {
            return Err(format!(
                "label: expected true or false, found {}",
                kind(other)
            ));
        }
    };
    completed(line, row, template, role)
}

/// The example of a row's prompt and completion.
fn completed(line: usize, row: &Row, template: Option<&ChatTemplate>, role: Role) -> Read {
    expect(row, &["prompt", "completion"])?;
    let (prompt, text) = match (column(row, "prompt")?, column(row, "completion")?) {
        (Column::Text(prompt), Column::Text(text)) => (Prompt::Text(prompt), text),
        (Column::Messages(prompt), Column::Messages(reply)) => {
            let (prompt, [text]) = conversation(&prompt, [("completion", &reply)], template)?;
            (prompt, text)
        }
        _ => {
            return Err(
                "prompt and completion: expected either text in both or lists of messages in both"
                    .into(),
            );
        }
    };
    let completions = vec![completion(text, role, "completion")?];
    Ok(vec![by_prompt(line, prompt, completions)])
}

/// One example for each of the assistant's messages.
fn turns(line: usize, messages: &[Message], template: Option<&ChatTemplate>) -> Read {
    let mut examples = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if message.role != "assistant" {
            continue;
        }
        let key = format!("messages[{index}]");
        let (history, reply) = (&messages[..index], &messages[index..=index]);
        let (prompt, [text]) = conversation(history, [(&key, reply)], template)?;
        let completions = vec![completion(text, Role::Reply, &key)?];
        examples.push(Example {
            id: format!("row {line}:{index}"),
            group: format!("row {line}"),
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

/// Renders a prompt and what follows it; `replies` are given with their keys.
fn conversation<const N: usize>(
    prompt: &[Message],
    replies: [(&str, &[Message]); N],
    template: Option<&ChatTemplate>,
) -> Result<(Prompt, [String; N]), String> {
    let template = template.ok_or(NO_TEMPLATE)?;
    match prompt.last() {
        None => return Err("expected a message before the reply, found none".into()),
        Some(last) if last.role == "assistant" => {
            return Err(
                "expected a prompt that ends with a message to reply to, found an assistant's"
                    .into(),
            );
        }
        Some(_) => {}
    }
    let mut texts = [const { String::new() }; N];
    for ((key, reply), text) in replies.into_iter().zip(&mut texts) {
        // A template closes even an empty message, so that its text would not look empty.
        if reply
            .iter()
            .all(|message| message.content.trim().is_empty())
        {
            return Err(format!("{key}: expected a completion, found none"));
        }
        let completion = template.completion(prompt, reply);
        *text = completion.map_err(|error| format!("{key}: {error}"))?;
    }
    let prompt = template
        .prompt(prompt)
        .map_err(|error| format!("prompt: {error}"))?;
    Ok((prompt, texts))
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

fn completion(text: String, role: Role, key: &str) -> Result<Completion, String> {
    if text.is_empty() {
        return Err(format!("{key}: expected a completion, found none"));
    }
    Ok(Completion::new(text, role))
}

/// A row's only example, whose group follows from its prompt.
fn by_prompt(line: usize, prompt: Prompt, completions: Vec<Completion>) -> Example {
    Example {
        id: format!("row {line}"),
        group: String::new(),
        prompt,
        completions,
        meta: Default::default(),
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
