//! A model folder's chat template: how messages become text, in Hugging Face's conventions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State};
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
            let found = [&config[name], &map[name]].into_iter().find_map(|token| {
                token.as_str().or_else(|| token["content"].as_str())
            });
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
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(python_method);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source)?;
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
            Value::from(BTreeMap::from([
                ("role".to_owned(), Value::from(&message.role)),
                ("content".to_owned(), Value::from(&message.content)),
            ]))
        });
        let mut context: BTreeMap<String, Value> = self
            .tokens
            .iter()
            .map(|(name, token)| (name.clone(), Value::from(token)))
            .collect();
        context.insert("messages".into(), messages.collect::<Vec<Value>>().into());
        context.insert("add_generation_prompt".into(), add_generation_prompt.into());
        let template = self.environment.get_template(NAME)?;
        template.render(context).map_err(|error| {
            let detail = error.detail().map_or_else(|| error.to_string(), str::to_owned);
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
        Ok(self.parts(history, &text).unwrap_or(Prompt::Text(text)))
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

/// The methods of Python's strings and dictionaries that templates call.
fn python_method(
    _: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    let Some(text) = value.as_str() else {
        return match (method, arguments) {
            ("get", [key]) => value.get_item(key),
            ("get", [key, default]) => value.get_item(key).map(|found| match found {
                found if found.is_undefined() => default.clone(),
                found => found,
            }),
            ("keys", []) => Ok(value.try_iter()?.collect()),
            ("values", []) => value
                .try_iter()?
                .map(|key| value.get_item(&key))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from),
            ("items", []) => value
                .try_iter()?
                .map(|key| Ok(Value::from(vec![key.clone(), value.get_item(&key)?])))
                .collect::<Result<Vec<_>, Error>>()
                .map(Value::from),
            _ => Err(unknown()),
        };
    };
    let argument = |index: usize| arguments.get(index).and_then(Value::as_str);
    let strips = |c: char| match argument(0) {
        Some(set) => set.contains(c),
        None => c.is_whitespace(),
    };
    Ok(match (method, argument(0), argument(1)) {
        ("strip", ..) => text.trim_matches(strips).into(),
        ("lstrip", ..) => text.trim_start_matches(strips).into(),
        ("rstrip", ..) => text.trim_end_matches(strips).into(),
        ("upper", ..) => text.to_uppercase().into(),
        ("lower", ..) => text.to_lowercase().into(),
        ("title" | "capitalize", ..) => minijinja::filters::capitalize(text.into()).into(),
        ("startswith", Some(part), _) => text.starts_with(part).into(),
        ("endswith", Some(part), _) => text.ends_with(part).into(),
        ("replace", Some(from), Some(to)) => text.replace(from, to).into(),
        ("split", Some(by), _) => text.split(by).map(Value::from).collect(),
        ("split", None, _) => text.split_whitespace().map(Value::from).collect(),
        _ => return Err(unknown()),
    })
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
        assert!(matches!(template.prompt(&history).unwrap(), Prompt::Text(_)));
        let error = template.completion(&history, &messages(&[("assistant", "d")]));
        assert!(error.unwrap_err().to_string().contains("does not begin"));
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
        assert_eq!((prompt.text(), prompt.text_from(1)), ("<s>[a][b]".into(), "<s>[b]".into()));
        fs::write(dir.path().join("chat_template.jinja"), "{% if %}").unwrap();
        let error = format!("{:#}", ChatTemplate::find(dir.path()).unwrap_err());
        assert!(error.contains("chat_template.jinja: the chat template"), "{error}");
    }
}
