//! A model folder's chat template: how messages become text, in Hugging Face's conventions
//! (`PreTrainedTokenizerBase.apply_chat_template`).

mod message;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use rapport_store::{BadInput, OrBadInput as _, read_json};
use serde_json::{Map, Value};

use crate::Prompt;
use crate::jinja::{Day, ErrorKind, Rendered, Template};
use crate::tokenizer::names::NAMED;

pub use message::{Beside, Message};

/// A template, and what it is given beside the messages.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    template: Template,
    /// That which is taken where there are tools, of a folder that has several.
    tool_use: Option<Template>,
    /// `bos_token`, `eos_token` and the like.
    tokens: Map<String, Value>,
    /// Variables of its own for all rows; a row's own come over them.
    kwargs: Map<String, Value>,
    /// The day that it is told.
    day: Day,
    asked_day: AtomicBool,
}

/// Raised when the same messages begin to give another text, so that old artifacts are left.
// 2: Jinja as transformers runs it; all that a row says; the day is given.
// 3: `break` in a loop without items or in a block leaves the right loop; marks of `tool_use`.
// 4: a written prompt's record says who said what.
pub const VERSION: u32 = 4;

/// Roles that every template is expected to know, or to refuse itself.
const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// Names that no `chat_template_kwargs` can give: what they stand for is given anyway.
pub const RESERVED: [&str; 5] = [
    "messages",
    "add_generation_prompt",
    "continue_final_message",
    "tokenize",
    "chat_template",
];

/// A prompt with its replies, rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub prompt: Prompt,
    /// Each reply's text, and what of it is scored where the template says so.
    pub replies: Vec<Reply>,
    /// Whether the end of the rendered prompt was left out, because a rendering with a reply parts from it there.
    pub parted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub text: String,
    /// Ranges of its bytes between `{% generation %}` and its end; nothing where the template has no such marks.
    pub marked: Option<Vec<(usize, usize)>>,
}

/// A template that takes more than it may: every row would fail alike, late.
#[derive(Debug, thiserror::Error)]
#[error("the chat template is stopped: {0}")]
pub struct Unbounded(String);

impl ChatTemplate {
    /// The template of a model folder: `chat_template.jinja`, or `chat_template` in
    /// `tokenizer_config.json` (of several, the one named `default`, and `tool_use` for rows with tools).
    /// `None` where there is neither.
    ///
    /// # Errors
    /// Unreadable files, or a template that is not Jinja.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        // An artifact links to the user's folder, and messages name that.
        let dir = &dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let json = |name: &str| -> Result<Value> {
            let path = dir.join(name);
            Ok(match path.exists() {
                true => read_json(&path)?,
                false => Value::Null,
            })
        };
        let config = json("tokenizer_config.json")?;
        let map = json("special_tokens_map.json")?;
        let file = dir.join("chat_template.jinja");
        let (mut source, mut tool_use, mut path) = (None, None, dir.join("tokenizer_config.json"));
        if file.exists() {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()));
            source = Some(text.or_bad_input()?);
            path = file;
            let file = dir.join("additional_chat_templates").join("tool_use.jinja");
            if file.exists() {
                let text = fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", file.display()));
                tool_use = Some(text.or_bad_input()?);
            }
        } else {
            let template = &config["chat_template"];
            let named = |name: &str| {
                let mut entries = template.as_array().into_iter().flatten();
                let found = entries.find(|entry| entry["name"] == name)?;
                found["template"].as_str().map(str::to_owned)
            };
            match template {
                Value::String(text) => source = Some(text.clone()),
                Value::Array(_) => (source, tool_use) = (named("default"), named("tool_use")),
                _ => {}
            }
        }
        let Some(source) = source else {
            return Ok(None);
        };
        let tokens = NAMED.iter().filter_map(|&name| {
            let found = [&config[name], &map[name]]
                .into_iter()
                .find_map(|token| token.as_str().or_else(|| token["content"].as_str()));
            Some((name.to_owned(), found?.into()))
        });
        let read = || -> Result<Self> {
            let mut template = Self::new(source, tokens.collect())?;
            template.tool_use = tool_use.as_deref().map(Template::new).transpose()?;
            Ok(template)
        };
        read()
            .with_context(|| format!("{}: the chat template", path.display()))
            .or_bad_input()
            .map(Some)
    }

    /// Reads a template that may print the given special tokens by name.
    ///
    /// # Errors
    /// A source that is not Jinja.
    pub fn new(source: String, tokens: Map<String, Value>) -> Result<Self> {
        Ok(Self {
            template: Template::new(&source)?,
            source,
            tool_use: None,
            tokens,
            kwargs: Map::new(),
            day: Day::DEFAULT,
            asked_day: AtomicBool::new(false),
        })
    }

    /// What it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The same, told another day.
    pub fn on(self, day: Day) -> Self {
        Self { day, ..self }
    }

    /// The same, given variables of its own wherever it renders, as TRL's `chat_template_kwargs`; a row's own come over
    /// them name by name.
    pub fn given(self, kwargs: Map<String, Value>) -> Self {
        Self { kwargs, ..self }
    }

    /// Whether anything that was rendered asked for the day.
    pub fn asked_day(&self) -> bool {
        self.asked_day.load(Ordering::Relaxed)
    }

    /// Whether a role is one that templates know, or that this one names.
    pub fn knows_role(&self, role: &str) -> bool {
        ROLES.contains(&role) || self.names(role)
    }

    /// Whether a name or a text of the template is `word`.
    pub fn names(&self, word: &str) -> bool {
        let tool_use = self.tool_use.as_ref();
        self.template.names(word) || tool_use.is_some_and(|template| template.names(word))
    }

    /// The messages as text, with the opening of a reply after them if asked for.
    ///
    /// # Errors
    /// What the template refuses, such as roles that do not alternate; [`Unbounded`].
    pub fn render(
        &self,
        messages: &[Message],
        beside: &Beside,
        add_generation_prompt: bool,
    ) -> Result<String> {
        Ok(self.rendered(messages, beside, add_generation_prompt)?.text)
    }

    /// The template for what a row gives.
    fn chosen(&self, beside: &Beside) -> &Template {
        let of_row = beside.kwargs.get("tools").or(beside.tools.as_ref());
        let tools = of_row.or(self.kwargs.get("tools"));
        match &self.tool_use {
            Some(tool_use) if tools.is_some_and(|tools| !tools.is_null()) => tool_use,
            _ => &self.template,
        }
    }

    fn rendered(
        &self,
        messages: &[Message],
        beside: &Beside,
        add_generation_prompt: bool,
    ) -> Result<Rendered> {
        let mut variables = self.tokens.clone();
        // Templates ask whether `tools is not none`, which must not hold.
        variables.extend(["documents", "tools"].map(|name| (name.to_owned(), Value::Null)));
        variables.extend(self.kwargs.clone());
        if let Some(tools) = &beside.tools {
            variables.insert("tools".into(), tools.clone());
        }
        variables.extend(beside.kwargs.clone());
        let list: Vec<Value> = messages.iter().map(Message::for_template).collect();
        variables.insert("messages".into(), list.into());
        variables.insert("add_generation_prompt".into(), add_generation_prompt.into());
        let rendered =
            self.chosen(beside)
                .render(&variables, self.day)
                .map_err(|error| match error.kind {
                    ErrorKind::Bound => Unbounded(error.to_string()).into(),
                    ErrorKind::Raised => anyhow!("the chat template refuses the messages: {error}"),
                    _ => anyhow!("the chat template cannot render the messages: {error}"),
                });
        let rendered: Rendered = rendered?;
        if rendered.asked_day {
            self.asked_day.store(true, Ordering::Relaxed);
        }
        Ok(rendered)
    }

    /// A prompt's text in parts wherever each message only adds text to those before it: a system message (or the BOS)
    /// is the head, and older messages can be dropped.
    fn parts(&self, history: &[Message], beside: &Beside, text: &str) -> Prompt {
        let (head, turns, tail) = self
            .cut(history, beside, text)
            .unwrap_or_else(|| (text.to_owned(), Vec::new(), String::new()));
        Prompt::Parts {
            head,
            turns,
            tail,
            rendered: true,
            says: Some(Box::new(message::says(history))),
        }
    }

    fn cut(
        &self,
        history: &[Message],
        beside: &Beside,
        text: &str,
    ) -> Option<(String, Vec<String>, String)> {
        let system = usize::from(["system", "developer"].contains(&&*history.first()?.role));
        let bos = self.tokens.get("bos_token").and_then(Value::as_str);
        let bos = bos.filter(|bos| text.starts_with(bos)).unwrap_or_default();
        let mut head = bos.to_owned();
        let mut done = head.len();
        let mut turns = Vec::new();
        for count in 1..=history.len() {
            let so_far = self.rendered(&history[..count], beside, false).ok()?.text;
            if so_far.len() < done || !text.starts_with(&so_far) {
                return None;
            }
            let mut piece = &so_far[done..];
            // Where messages begin with the BOS, a later one's stands at the end of the one before, so that there is one at the
            // beginning whichever are dropped.
            if let (2.., Some(rest)) = (count, piece.strip_prefix(bos).filter(|_| !bos.is_empty()))
            {
                turns.last_mut().unwrap_or(&mut head).push_str(bos);
                piece = rest;
            }
            // What is told of tools, or by the template itself, stands before the first message and stays with it.
            if count <= system || count == 1 && beside.tools.is_some() && system == 0 {
                head.push_str(piece);
            } else {
                turns.push(piece.to_owned());
            }
            done = so_far.len();
        }
        let last = turns.pop().unwrap_or_default();
        Some((head, turns, last + &text[done..]))
    }

    /// What `reply` adds to the prompt for a reply to `history`, up to the end of the rendering.
    ///
    /// # Errors
    /// What the template refuses; or a reply that adds nothing.
    pub fn completion(&self, history: &[Message], reply: &[Message]) -> Result<String> {
        let conversation =
            self.conversation(history, &[("completion", reply)], &Beside::default())?;
        Ok(conversation
            .replies
            .into_iter()
            .map(|reply| reply.text)
            .collect())
    }

    /// A prompt with its replies. Where a rendering with a reply does not go on from that of the prompt, the prompt ends
    /// where they part, as in TRL.
    ///
    /// # Errors
    /// What the template refuses, or a reply that adds nothing, with the reply's key; [`Unbounded`].
    pub fn conversation(
        &self,
        history: &[Message],
        replies: &[(&str, &[Message])],
        beside: &Beside,
    ) -> Result<Conversation> {
        if let Some(reserved) = RESERVED
            .iter()
            .find(|name| beside.kwargs.contains_key(**name))
        {
            bail!("chat_template_kwargs.{reserved}: not a variable that can be given");
        }
        let prompt = self
            .rendered(history, beside, true)
            .map_err(|error| named(error, "prompt"))?
            .text;
        let mut border = prompt.len();
        let mut wholes = Vec::new();
        for (key, reply) in replies {
            let whole = self.rendered(&[history, reply].concat(), beside, false);
            let whole = whole.map_err(|error| named(error, key))?;
            let same = prompt
                .bytes()
                .zip(whole.text.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            border = border.min(same);
            wholes.push(whole);
        }
        while !prompt.is_char_boundary(border) {
            border -= 1;
        }
        let marks = self.chosen(beside).marks();
        let mut found = Vec::new();
        for ((key, _), whole) in replies.iter().zip(wholes) {
            let text = whole.text[border..].to_owned();
            if text.is_empty() {
                bail!("{key}: the chat template adds nothing to the prompt for this reply");
            }
            let marked = marks.then(|| {
                let within = |&(start, end): &(usize, usize)| {
                    let start = start.max(border);
                    (start < end).then(|| (start - border, end - border))
                };
                whole.marked.iter().filter_map(within).collect()
            });
            if marks && whole.marked_elsewhere {
                bail!(
                    "{key}: the chat template has {{% generation %}} in a macro or set block, where its place is not known"
                );
            }
            found.push(Reply { text, marked });
        }
        Ok(Conversation {
            prompt: self.parts(history, beside, &prompt[..border]),
            replies: found,
            parted: border < prompt.len(),
        })
    }
}

/// An error with the key of what was rendered, but one that every row would meet.
fn named(error: anyhow::Error, key: &str) -> anyhow::Error {
    match error.is::<Unbounded>() {
        true => error,
        false => BadInput(format!("{key}: {error:#}")).into(),
    }
}
