//! A model folder's chat template: how messages become text, in Hugging Face's conventions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Deserialize;

use crate::data::Prompt;
use crate::store::read_json;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    pub content: String,
}

/// A compiled template and the special tokens it may print.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// `bos_token`, `eos_token` and the like.
    tokens: BTreeMap<String, String>,
}

const NAME: &str = "chat template";

const TOKENS: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

impl ChatTemplate {
    /// The template of a model folder: `chat_template.jinja`, or `chat_template` in
    /// `tokenizer_config.json` (of several, the one named `default`). `None` where there is neither.
    ///
    /// # Errors
    /// Unreadable files, or a template that is not Jinja.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        let json = |name: &str| -> Result<serde_json::Value> {
            let path = dir.join(name);
            Ok(match path.exists() {
                true => read_json(&path)?,
                false => serde_json::Value::Null,
            })
        };
        let config = json("tokenizer_config.json")?;
        let map = json("special_tokens_map.json")?;
        let file = dir.join("chat_template.jinja");
        let (source, path) = if file.exists() {
            let source = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            (source, file)
        } else {
            let template = &config["chat_template"];
            let mut named = template.as_array().into_iter().flatten();
            let default = named.find(|entry| entry["name"] == "default");
            let source = default.map_or(template, |entry| &entry["template"]);
            let Some(source) = source.as_str() else {
                return Ok(None);
            };
            (source.to_owned(), dir.join("tokenizer_config.json"))
        };
        let tokens = TOKENS.iter().filter_map(|&name| {
            let found = [&config[name], &map[name]]
                .into_iter()
                .find_map(|token| token.as_str().or_else(|| token["content"].as_str()));
            Some((name.to_owned(), found?.to_owned()))
        });
        Self::new(source, tokens.collect())
            .with_context(|| format!("{}: the chat template", path.display()))
            .map(Some)
    }

    /// Compiles a template that may print the given special tokens by name.
    ///
    /// # Errors
    /// A source that is not Jinja.
    pub fn new(source: String, tokens: BTreeMap<String, String>) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<Value, Error> {
                Err(Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        environment.add_filter("tojson", tojson);
        // One moment for all that is rendered, so that a history stays the beginning of its reply.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        environment.add_function("strftime_now", move |format: &str| strftime(now, format));
        environment.add_template_owned(NAME, without_generation_marks(&source))?;
        Ok(Self {
            environment,
            tokens,
        })
    }

    /// The messages as text, with the opening of a reply after them if asked for.
    ///
    /// # Errors
    /// What the template refuses, such as roles that do not alternate.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let messages = messages.iter().map(|message| {
            Value::from_pairs([
                ("role", message.role.as_str()),
                ("content", message.content.as_str()),
            ])
        });
        let mut context: BTreeMap<String, Value> = self
            .tokens
            .iter()
            .map(|(name, token)| (name.clone(), Value::from(token)))
            .collect();
        // Templates ask whether `tools is not none`, which must not hold.
        for absent in ["tools", "documents"] {
            context.insert(absent.into(), Value::from(()));
        }
        context.insert("messages".into(), messages.collect::<Vec<Value>>().into());
        context.insert("add_generation_prompt".into(), add_generation_prompt.into());
        let template = self.environment.get_template(NAME)?;
        template.render(context).map_err(|error| {
            let detail = error
                .detail()
                .map_or_else(|| error.to_string(), str::to_owned);
            anyhow!("the chat template refuses the messages: {detail}")
        })
    }

    /// The prompt for a reply to `history`, in parts wherever each message only adds text to those
    /// before it: a system message (or the BOS) is the head, and older messages can be dropped.
    ///
    /// # Errors
    /// What the template refuses.
    pub fn prompt(&self, history: &[Message]) -> Result<Prompt> {
        let text = self.render(history, true)?;
        Ok(self.parts(history, &text).unwrap_or(Prompt::Parts {
            head: String::new(),
            turns: Vec::new(),
            tail: text,
            rendered: true,
        }))
    }

    fn parts(&self, history: &[Message], text: &str) -> Option<Prompt> {
        let system = usize::from(history.first()?.role == "system");
        let mut head = match self.tokens.get("bos_token") {
            Some(bos) if text.starts_with(bos.as_str()) => bos.clone(),
            _ => String::new(),
        };
        let mut done = head.len();
        let mut turns = Vec::new();
        for count in 1..=history.len() {
            let so_far = self.render(&history[..count], false).ok()?;
            if so_far.len() < done || !text.starts_with(&so_far) {
                return None;
            }
            let piece = so_far[done..].to_owned();
            if count <= system {
                head.push_str(&piece);
            } else {
                turns.push(piece);
            }
            done = so_far.len();
        }
        let last = turns.pop().unwrap_or_default();
        Some(Prompt::Parts {
            head,
            turns,
            tail: last + &text[done..],
            rendered: true,
        })
    }

    /// What `reply` adds to the prompt for a reply to `history`, up to the end of the rendering.
    ///
    /// # Errors
    /// What the template refuses; or a rendering of both that does not go on from the prompt.
    pub fn completion(&self, history: &[Message], reply: &[Message]) -> Result<String> {
        let prompt = self.render(history, true)?;
        let whole = self.render(&[history, reply].concat(), false)?;
        match whole.strip_prefix(&prompt) {
            Some(completion) => Ok(completion.to_owned()),
            None => bail!(
                "with the reply, the chat template's text does not begin with its text of the \
                 prompt; use a template that renders the messages before a reply the same way in \
                 both, or give prompt and completion as plain text"
            ),
        }
    }
}

/// `{% generation %}` marks an assistant's words for a mask that is not made here; a block that always
/// runs takes its place, with the same control of white space.
fn without_generation_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        let end = tag.find("%}").unwrap_or(tag.len());
        let (tag, after) = tag.split_at(end);
        let put = match tag.trim_matches(['-', '+', ' ', '\t', '\n']) {
            "generation" => tag.replace("generation", "if true"),
            "endgeneration" => tag.replace("endgeneration", "endif"),
            _ => tag.to_owned(),
        };
        text.extend([before, "{%", &put]);
        rest = after;
    }
    text + rest
}

/// JSON as Python writes it: spaces after separators, and nothing escaped for HTML.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        let message = "tojson writes no ASCII escapes; take ensure_ascii out of the template";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    options.assert_all_used()?;
    let mut text = String::new();
    write_json(value, indent, 0, &mut text)?;
    Ok(text)
}

fn write_json(
    value: &Value,
    indent: Option<usize>,
    depth: usize,
    text: &mut String,
) -> Result<(), Error> {
    let map = match value.kind() {
        ValueKind::None => {
            text.push_str("null");
            return Ok(());
        }
        ValueKind::String => {
            text.push_str(&serde_json::Value::from(value.as_str().unwrap_or_default()).to_string());
            return Ok(());
        }
        ValueKind::Map => true,
        ValueKind::Seq | ValueKind::Iterable => false,
        ValueKind::Bool => {
            text.push_str(if value.is_true() { "true" } else { "false" });
            return Ok(());
        }
        ValueKind::Number => {
            text.push_str(&value.to_string());
            return Ok(());
        }
        _ => {
            let message = format!("tojson cannot write {}", value.kind());
            return Err(Error::new(ErrorKind::BadSerialization, message));
        }
    };
    let line = |depth: usize| indent.map(|width| format!("\n{}", " ".repeat(width * depth)));
    text.push(if map { '{' } else { '[' });
    let mut empty = true;
    for entry in value.try_iter()? {
        if !empty {
            text.push_str(if indent.is_some() { "," } else { ", " });
        }
        empty = false;
        text.push_str(&line(depth + 1).unwrap_or_default());
        write_json(&entry, indent, depth + 1, text)?;
        if map {
            text.push_str(": ");
            write_json(&value.get_item(&entry)?, indent, depth + 1, text)?;
        }
    }
    if !empty {
        text.push_str(&line(depth).unwrap_or_default());
    }
    text.push(if map { '}' } else { ']' });
    Ok(())
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The common directives of C's function of this name, in UTC, for `seconds` since 1970.
fn strftime(seconds: u64, format: &str) -> Result<String, Error> {
    let (year, month, day) = date(seconds / 86_400);
    let name = MONTHS[month - 1];
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let directive = letters.next().unwrap_or(' ');
        text.push_str(&match directive {
            'Y' => year.to_string(),
            'm' => format!("{month:02}"),
            'd' => format!("{day:02}"),
            'B' => name.to_owned(),
            'b' => name[..3].to_owned(),
            'H' => format!("{:02}", seconds / 3600 % 24),
            'M' => format!("{:02}", seconds / 60 % 60),
            'S' => format!("{:02}", seconds % 60),
            _ => {
                let message =
                    format!("strftime_now knows no %{directive}, only %Y %m %d %B %b %H %M %S");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        });
    }
    Ok(text)
}

/// Year, month (from 1) and day of a number of days since 1970.
fn date(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| {
        u64::from(year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)))
    };
    let mut year = 1970;
    while days >= 365 + leap(year) {
        days -= 365 + leap(year);
        year += 1;
    }
    let lengths = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "\
        {%- if messages[0]['role'] == 'system' %}\n\
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}\n\
        {%- endif %}\n\
        {%- for message in messages %}\n\
            {%- if message.role not in ['system', 'user', 'assistant'] %}\n\
                {{- raise_exception('no role ' + message.role) }}\n\
            {%- elif not loop.first or message['role'] != 'system' %}\n\
                {{- '<|im_start|>' + message.role + '\\n' + message['content'].strip() + '<|im_end|>\\n' }}\n\
            {%- endif %}\n\
        {%- endfor %}\n\
        {%- if add_generation_prompt %}\n\
            {{- '<|im_start|>assistant\\n' }}\n\
        {%- endif %}";

    fn messages(list: &[(&str, &str)]) -> Vec<Message> {
        let message = |&(role, content): &(&str, &str)| Message {
            role: role.into(),
            content: content.into(),
        };
        list.iter().map(message).collect()
    }

    #[test]
    fn a_prompt_comes_in_parts_and_a_reply_goes_on_from_it() {
        let template = ChatTemplate::new(CHATML.into(), BTreeMap::new()).unwrap();
        let history = messages(&[
            ("system", "Be kind."),
            ("user", "hi "),
            ("assistant", "hello"),
            ("user", "bye"),
        ]);
        let prompt = template.prompt(&history).unwrap();
        assert_eq!(prompt.droppable(), 2);
        assert_eq!(
            prompt.text_from(2),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n\
             <|im_start|>assistant\n"
        );
        assert_eq!(prompt.text(), template.render(&history, true).unwrap());
        let reply = messages(&[("assistant", "see you")]);
        let completion = template.completion(&history, &reply).unwrap();
        assert_eq!(completion, "see you<|im_end|>\n");
        let error = template.prompt(&messages(&[("robot", "x")])).unwrap_err();
        assert!(error.to_string().contains("no role robot"), "{error}");
    }

    #[test]
    fn a_template_that_rewrites_its_past_is_an_error() {
        let source = "{% for m in messages %}{{ loop.index }}/{{ messages|length }} {{ m.content }}\
                      {% endfor %}";
        let template = ChatTemplate::new(source.into(), BTreeMap::new()).unwrap();
        let history = messages(&[("user", "a"), ("assistant", "b"), ("user", "c")]);
        let prompt = template.prompt(&history).unwrap();
        assert!(prompt.rendered() && prompt.droppable() == 0);
        let error = template.completion(&history, &messages(&[("assistant", "d")]));
        assert!(error.unwrap_err().to_string().contains("does not begin"));
    }

    /// Checked against transformers.
    #[test]
    fn what_templates_call_works_as_in_python() {
        let source = r#"{% for m in messages %}
  {% if m.role == 'user' %}
{{ bos_token + '[INST] ' + m.content.strip() + ' [/INST]' }}
  {%- elif m.role == 'assistant' -%}
    {%- generation -%}
{{ ' ' + m['content'] | trim + ' ' + eos_token }}
    {%- endgeneration -%}
  {% else %}{{ raise_exception('no role ' + m.role) }}
  {% endif %}
{% endfor %}
{{ messages | tojson }}{{ {'k': [1, true, none, '<\'é">']} | tojson(indent=2) }}{{ tools is none }}"#;
        let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
        let tokens = tokens.map(|(name, token)| (name.to_owned(), token.to_owned()));
        let template = ChatTemplate::new(source.into(), tokens.into()).unwrap();
        let text = template.render(
            &messages(&[("user", " hi "), ("assistant", "<b>\n")]),
            false,
        );
        assert_eq!(
            text.unwrap(),
            "<s>[INST] hi [/INST] <b> </s>[{\"role\": \"user\", \"content\": \" hi \"}, \
             {\"role\": \"assistant\", \"content\": \"<b>\\n\"}]\
             {\n  \"k\": [\n    1,\n    true,\n    null,\n    \"<'é\\\">\"\n  ]\n}True"
        );
        let error = template
            .render(&messages(&[("robot", "x")]), false)
            .unwrap_err();
        assert!(error.to_string().contains("no role robot"), "{error}");
        assert_eq!(
            strftime(951_782_400, "%d %b %Y, %H:%M").unwrap(),
            "29 Feb 2000, 00:00"
        );
        assert!(strftime(0, "%Q").is_err());
    }

    #[test]
    fn our_models_template_renders_the_persona_template() {
        let source = include_str!("../../assets/chat_template.jinja");
        let template = ChatTemplate::new(source.into(), BTreeMap::new()).unwrap();
        let turn = |speaker, text: &str| crate::data::Turn {
            speaker,
            text: text.into(),
        };
        use crate::data::Speaker::{Bot, User};
        let history = [turn(User, "hi."), turn(Bot, "ahoy."), turn(User, "who?")];
        let said = messages(&[
            ("system", "Persona:\n- i sail.\n- i bake."),
            ("user", "hi."),
            ("assistant", "ahoy."),
            ("user", "who?"),
        ]);
        let persona = ["i sail.".to_owned(), "i bake.".to_owned()];
        let prompt = crate::data::template::persona_prompt(&persona, &history);
        let rendered = template.prompt(&said).unwrap();
        assert_eq!(rendered.text(), prompt.text());
        assert_eq!(rendered.droppable(), prompt.droppable());
        let reply = messages(&[("assistant", "me.")]);
        assert_eq!(template.completion(&said, &reply).unwrap(), " me.\n");
    }

    #[test]
    fn a_folder_gives_its_template_and_special_tokens() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ChatTemplate::find(dir.path()).unwrap().is_none());
        let config = r#"{"bos_token": {"content": "<s>"}, "chat_template": [
            {"name": "tools", "template": "no"},
            {"name": "default", "template": "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"}]}"#;
        fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
        let template = ChatTemplate::find(dir.path()).unwrap().unwrap();
        let history = messages(&[("user", "a"), ("user", "b")]);
        let prompt = template.prompt(&history).unwrap();
        assert_eq!(
            (prompt.text(), prompt.text_from(1)),
            ("<s>[a][b]".into(), "<s>[b]".into())
        );
        fs::write(dir.path().join("chat_template.jinja"), "{% if %}").unwrap();
        let error = format!("{:#}", ChatTemplate::find(dir.path()).unwrap_err());
        assert!(
            error.contains("chat_template.jinja: the chat template"),
            "{error}"
        );
    }
}
