//! Messages of a conversation, as templates are given them.

use serde_json::{Map, Value};

use crate::template::persona_of;
use crate::{History, Said, Speaker, Turn};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// Its words: the text of its content, of all parts where that is a list, and empty where it has none.
    pub content: String,
    /// All that the row says of it, without keys whose value is null, as transformers leaves them out.
    pub all: Map<String, Value>,
}

/// Names that a message's reasoning goes by; the first is what templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl Message {
    /// A message of a role and a text.
    pub fn new(role: &str, content: &str) -> Self {
        let all = [("role", role), ("content", content)];
        Self {
            role: role.into(),
            content: content.into(),
            all: all
                .map(|(key, text)| (key.to_owned(), text.into()))
                .into_iter()
                .collect(),
        }
    }

    /// Whether it says or does anything.
    pub fn is_empty(&self) -> bool {
        let acts = |key: &str| match self.all.get(key) {
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(object)) => !object.is_empty(),
            _ => false,
        };
        self.content.trim().is_empty()
            && !acts("tool_calls")
            && !acts("function_call")
            && !REASONING.into_iter().any(acts)
    }

    /// What templates see: the reasoning under each of the names that templates read.
    pub(super) fn for_template(&self) -> Value {
        let Some(reasoning) = REASONING
            .into_iter()
            .find_map(|key| self.all.get(key))
            .cloned()
        else {
            return self.all.clone().into();
        };
        let mut all = Map::new();
        all.insert("thinking".into(), reasoning.clone());
        all.extend(self.all.clone());
        all.insert("reasoning_content".into(), reasoning);
        all.into()
    }
}

/// What a row gives a template beside its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Functions that the model may call, a list of JSON schemas.
    pub tools: Option<Value>,
    /// The template's own variables, such as `enable_thinking`.
    pub kwargs: Map<String, Value>,
}

/// What messages say: the system's first is the persona or what else the bot is told.
pub(super) fn says(messages: &[Message]) -> History {
    let mut history = History::default();
    for (at, message) in messages.iter().enumerate() {
        let text = message.content.clone();
        let speaker = match &*message.role {
            "user" => Speaker::User,
            "assistant" => Speaker::Bot,
            "system" | "developer" if at == 0 => {
                history.persona = persona_of(&text);
                if history.persona.is_none() {
                    history.told = format!("{}\n", text.trim_end());
                }
                continue;
            }
            _ => {
                history.turns.push(Said::Note(text));
                continue;
            }
        };
        history.turns.push(Said::Turn(Turn { speaker, text }));
    }
    history
}
