//! Conversational columns of a row, rendered by the model's chat template.

use serde_json::Value;

use super::stream::{NO_TEMPLATE, Reading, Wrong};
use crate::Prompt;
use crate::chat::{Beside, Message, Reply, Unbounded};
use crate::formats::Row;
use crate::formats::json::{self, holds_not_finite, kind};

/// Refuses roles that no template knows, whose message would be rendered as something else or not at all.
pub(super) fn roles(messages: &[Message], key: &str, reading: &Reading<'_>) -> Result<(), Wrong> {
    let template = reading
        .template
        .ok_or_else(|| Wrong::File(NO_TEMPLATE.into()))?;
    for (index, message) in messages.iter().enumerate() {
        if !template.knows_role(&message.role) {
            return Err(Wrong::Row(format!(
                "{key}[{index}].role: expected system, developer, user, assistant or tool, or another that the chat \
                 template names, found {:?}",
                message.role.chars().take(60).collect::<String>()
            )));
        }
        for name in message.all.keys() {
            if !["role", "content"].contains(&name.as_str()) && !template.names(name) {
                reading.remark(format!(
                    "messages' key `{name}`, which the chat template does not name"
                ));
            }
        }
    }
    Ok(())
}

/// Renders a prompt and what follows it; `replies` are given with their keys.
pub(super) fn conversation<const N: usize>(
    prompt: &[Message],
    replies: [(&str, &[Message]); N],
    row: &Row,
    reading: &Reading<'_>,
) -> Result<(Prompt, [Reply; N]), Wrong> {
    let template = reading
        .template
        .ok_or_else(|| Wrong::File(NO_TEMPLATE.into()))?;
    if !row.contains_key("messages") {
        roles(prompt, "prompt", reading)?;
        for (key, reply) in &replies {
            roles(reply, key, reading)?;
        }
    }
    if prompt.is_empty() {
        return Err("expected a message before the reply, found none".into());
    }
    for (key, reply) in &replies {
        // A template closes even an empty message, so that its text would not look empty.
        if reply.iter().all(Message::is_empty) {
            return Err(format!("{key}: expected a completion, found none").into());
        }
        if let Some(first) = reply
            .first()
            .filter(|first| ["system", "developer", "user"].contains(&&*first.role))
        {
            return Err(format!(
                "{key}[0].role: expected a reply of the assistant, found {:?}",
                first.role
            )
            .into());
        }
    }
    let rendered = template.conversation(prompt, &replies, &beside(row, reading)?);
    let mut rendered = rendered.map_err(|error| match error.is::<Unbounded>() {
        true => Wrong::File(error.to_string()),
        false => Wrong::Row(format!("{error:#}")),
    })?;
    if rendered.parted {
        reading.remark(
            "prompt whose end the chat template renders otherwise before a reply; the completion begins where they \
             part, as in TRL",
        );
    }
    for ((key, _), reply) in replies.iter().zip(&mut rendered.replies) {
        match &reply.marked {
            Some(_) if !reading.masks => reply.marked = None,
            Some(marked) if marked.is_empty() => {
                return Err(format!(
                    "{key}: the chat template marks nothing of this reply with {{% generation %}}, so that nothing \
                     would be trained; mend the template or take its marks out"
                )
                .into());
            }
            Some(marked) => {
                let end = reply.text.trim_end().len();
                if marked.iter().all(|(_, marked_end)| *marked_end < end) {
                    reading.remark(
                        "reply whose end the chat template leaves out of {% generation %}; the model is not trained \
                         to stop there",
                    );
                }
            }
            None => {}
        }
    }
    let replies = rendered.replies.try_into();
    let replies = replies.map_err(|_| Wrong::Row("a reply was lost".into()))?;
    Ok((rendered.prompt, replies))
}

/// What a row gives the template beside its messages.
pub(crate) fn beside(row: &Row, reading: &Reading<'_>) -> Result<Beside, String> {
    let template = reading.template;
    for name in ["tools", "chat_template_kwargs"] {
        if row.get(name).is_some_and(holds_not_finite) {
            return Err(format!(
                "{name}: found NaN or Infinity, which no text can be made of"
            ));
        }
    }
    // Some sets keep them as text, since the rows of a table have the same members in all structs.
    let given = |name: &str, expected: &str| match row.get(name) {
        Some(Value::String(text)) => {
            let found = json::value(text);
            found
                .map(Some)
                .map_err(|error| format!("{name}: expected {expected}, found {error}"))
        }
        other => Ok(other.cloned()),
    };
    let tools = given("tools", "a list")?;
    match &tools {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) if list.iter().all(Value::is_object) => {
            if template.is_some_and(|template| !template.names("tools")) {
                reading.remark("column `tools`, which the chat template does not read");
            }
        }
        Some(other) => {
            return Err(format!(
                "tools: expected a list of objects, found {}",
                kind(other)
            ));
        }
    }
    let kwargs = match given("chat_template_kwargs", "an object")? {
        None | Some(Value::Null) => Default::default(),
        Some(Value::Object(kwargs)) => kwargs,
        Some(other) => {
            return Err(format!(
                "chat_template_kwargs: expected an object, found {}",
                kind(&other)
            ));
        }
    };
    for name in kwargs.keys() {
        if template.is_some_and(|template| !template.names(name)) {
            reading.remark(format!(
                "`chat_template_kwargs.{name}`, which the chat template does not read"
            ));
        }
    }
    Ok(Beside {
        tools: tools.filter(|tools| !tools.is_null()),
        kwargs,
    })
}
