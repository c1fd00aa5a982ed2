//! From a dialogue to the text that a model reads, by the chat template of the model's own folder where it has one,
//! else by [`template`](crate::template).

use std::borrow::Cow;

use anyhow::Result;

use crate::chat::{Beside, ChatTemplate, Conversation, Message, Unbounded};
use crate::template::OWN;
use crate::{Completion, History, Prompt, Said, Speaker, Tokenizer, Turn};

/// A prompt with its completions, as text.
pub type Written<'a> = (Cow<'a, Prompt>, Cow<'a, [Completion]>);

/// Whether dialogues are written by that template, and not as our own models' are.
fn is_foreign(template: &ChatTemplate) -> bool {
    template.source() != OWN
}

/// Writes a dialogue and the replies to it; text stays as it is. Persona and guardrails are the system's message, or
/// stand before the user's first one where the template takes no such message; what neither side says goes with the
/// user's.
///
/// A reply that was drawn stays the tokens it was drawn as. Only where the template writes the end of the prompt
/// otherwise before a reply that is given as text, its text is read in their place: the tokens would not follow.
///
/// # Errors
/// What the template refuses.
pub fn render<'a>(
    prompt: &'a Prompt,
    completions: &'a [Completion],
    template: Option<&ChatTemplate>,
) -> Result<Written<'a>> {
    let Prompt::Dialogue(history) = prompt else {
        return Ok((Cow::Borrowed(prompt), Cow::Borrowed(completions)));
    };
    let Some(template) = template.filter(|it| is_foreign(it)) else {
        return Ok((Cow::Owned(prompt.written()), Cow::Borrowed(completions)));
    };
    let written = |all: bool| conversation(template, history, completions, all);
    let mut found = written(false)?;
    let drawn = completions.iter().any(|it| it.tokens.is_some());
    let as_text = found.parted && drawn;
    if as_text {
        found = written(true)?;
    }
    let mut replies = found.replies.into_iter();
    let completions = completions
        .iter()
        .map(|it| match it.tokens.is_some() && !as_text {
            true => it.clone(),
            false => Completion {
                text: replies.next().map(|reply| reply.text).unwrap_or_default(),
                tokens: None,
                ..it.clone()
            },
        });
    let completions = completions.collect();
    Ok((Cow::Owned(found.prompt), Cow::Owned(completions)))
}

/// The chat template by which dialogues are written for a model with that tokenizer, where it has one of its own.
///
/// # Errors
/// A template that cannot be read.
pub fn foreign(tokenizer: &Tokenizer) -> Result<Option<&ChatTemplate>> {
    Ok(tokenizer.template()?.filter(|it| is_foreign(it)))
}

/// A conversation that is read whole, by the template: its last message follows what the template writes before a reply,
/// so that older ones can be dropped, wherever that is how it writes both; else all is one text.
///
/// # Errors
/// What the template refuses.
pub fn whole(
    template: &ChatTemplate,
    messages: &[Message],
    beside: &Beside,
) -> Result<(Prompt, String)> {
    if let Some((reply, history)) = messages.split_last()
        && reply.role == "assistant"
        && !history.is_empty()
    {
        let replies = [("reply", std::slice::from_ref(reply))];
        if let Ok(found) = template.conversation(history, &replies, beside) {
            let reply = found.replies.into_iter().map(|reply| reply.text).collect();
            return Ok((found.prompt, reply));
        }
    }
    let nothing = Prompt::Parts {
        head: String::new(),
        turns: Vec::new(),
        tail: String::new(),
        rendered: true,
        says: None,
    };
    Ok((nothing, template.render(messages, beside, false)?))
}

/// Whether the chat template of a model's own writes the prompt for it, or has written it.
///
/// # Errors
/// A dialogue, where the template of the tokenizer's folder cannot be read.
pub fn by_template(prompt: &Prompt, tokenizer: &Tokenizer) -> Result<bool> {
    Ok(match prompt {
        Prompt::Dialogue(_) => foreign(tokenizer)?.is_some(),
        written => written.rendered(),
    })
}

/// The text of a reply that was drawn after `prompt`, as records hold it: what [`render`] made of a dialogue by another
/// template than ours has no space before its words.
///
/// # Errors
/// As [`by_template`].
pub fn drawn_text(prompt: &Prompt, tokenizer: &Tokenizer, text: String) -> Result<String> {
    let dialogue = matches!(prompt, Prompt::Dialogue(_));
    let bare = dialogue && !text.starts_with(char::is_whitespace);
    Ok(match bare && by_template(prompt, tokenizer)? {
        true => format!(" {text}"),
        false => text,
    })
}

/// The dialogue by the template, with those replies that are text, or with all.
fn conversation(
    template: &ChatTemplate,
    history: &History,
    completions: &[Completion],
    all: bool,
) -> Result<Conversation> {
    let replies: Vec<[Message; 1]> = completions
        .iter()
        .filter(|it| all || it.tokens.is_none())
        .map(|it| [Message::new("assistant", it.text.trim())])
        .collect();
    let replies: Vec<(&str, &[Message])> =
        replies.iter().map(|reply| ("reply", &reply[..])).collect();
    let write =
        |messages: &[Message]| template.conversation(messages, &replies, &Beside::default());
    let told = history.head().trim_end().to_owned();
    let messages = messages(&history.turns);
    let whole = match told.is_empty() {
        true => messages.clone(),
        false => [&[Message::new("system", &told)], &messages[..]].concat(),
    };
    let refused = match write(&whole) {
        Err(error) if !error.is::<Unbounded>() => error,
        written => return written,
    };
    // Some take no system's message, and some none before the user's.
    let (first, rest) = match messages.split_first() {
        Some((first, rest)) if first.role == "user" => (&*first.content, rest),
        _ => ("", &messages[..]),
    };
    let first = [&*told, first].join(if told.is_empty() || first.is_empty() {
        ""
    } else {
        "\n\n"
    });
    let folded = [&[Message::new("user", &first)], rest].concat();
    let mut found = match folded == whole {
        true => return Err(refused),
        false => write(&folded).map_err(|_| refused)?,
    };
    // What the bot is told is not dropped with that turn.
    if let Prompt::Parts { head, turns, .. } = &mut found.prompt
        && !turns.is_empty()
    {
        head.push_str(&turns.remove(0));
    }
    Ok(found)
}

fn role(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::User => "user",
        Speaker::Bot => "assistant",
    }
}

fn message(turn: &Turn) -> Message {
    Message::new(role(turn.speaker), &turn.text)
}

/// Turns as messages, one each.
pub fn turn_messages(turns: &[Turn]) -> Vec<Message> {
    turns.iter().map(message).collect()
}

/// Turns as messages, notes on lines of the user's.
fn messages(said: &[Said]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let mut noted = false;
    for said in said {
        let (next, note) = match said {
            Said::Turn(turn) => (message(turn), false),
            Said::Note(note) => (Message::new("user", note), true),
        };
        match messages.last_mut() {
            Some(last) if (note || noted) && last.role == next.role => {
                *last = Message::new("user", &format!("{}\n{}", last.content, next.content));
            }
            _ => messages.push(next),
        }
        noted = note;
    }
    messages
}

#[cfg(test)]
mod tests;
