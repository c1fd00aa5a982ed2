//! A dialogue as its file has it, checked.

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One file of `dialogues/`, as far as it is used.
#[derive(Debug)]
pub struct Conversation {
    /// `DialogueID`.
    pub id: String,
    /// The task in words that the wizard was given.
    pub description: String,
    /// Tasks that the wizard could serve, each with its domain (its own name where the file has none).
    pub capabilities: Vec<(String, String)>,
    /// The user was to follow the happy path.
    pub happy: bool,
    pub events: Vec<Event>,
}

/// What happened, in order; instructions to the user, requests for suggestions and the like are left out.
#[derive(Debug)]
pub enum Event {
    User(String),
    /// The wizard's own words.
    Free(String),
    Pick {
        label: String,
        options: Vec<String>,
        text: String,
    },
    /// The wizard turned to another task.
    Select(String),
    Query {
        /// API, named as its task.
        task: String,
        /// `RequestType` where there is one, such as `Check`.
        request: String,
        constraints: Vec<(String, Value)>,
    },
    /// What the query before brought: nothing, or one item.
    Result {
        task: String,
        item: Option<Map<String, Value>>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawDialogue {
    #[serde(rename = "DialogueID")]
    id: Value,
    scenario: RawScenario,
    events: Vec<RawEvent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawScenario {
    wizard_task: String,
    wizard_capabilities: Vec<RawCapability>,
    #[serde(default)]
    happy: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawCapability {
    task: String,
    /// Trivia has none.
    domain: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawEvent {
    action: String,
    agent: String,
    text: Option<String>,
    task: Option<String>,
    action_label: Option<String>,
    action_label_options: Option<Vec<String>>,
    #[serde(rename = "APIName")]
    api: Option<String>,
    constraints: Option<Vec<Map<String, Value>>>,
    item: Option<Map<String, Value>>,
}

/// Parses JSON.
///
/// # Errors
/// With line and column, and what to do.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| anyhow!("{error}; the file is not as STAR has it: fetch it again"))
}

impl Conversation {
    /// Parses and checks a dialogue's file.
    ///
    /// # Errors
    /// Malformed JSON; an event without what its kind needs, by dialogue and number counted from 1.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let raw: RawDialogue = json(bytes)?;
        let id = match raw.id {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            other => bail!("DialogueID: expected a number or a text, found {other}"),
        };
        let capabilities = raw.scenario.wizard_capabilities.into_iter();
        let mut events = Vec::new();
        for (index, event) in raw.events.into_iter().enumerate() {
            let action = event.action.clone();
            let event = event
                .checked()
                .with_context(|| format!("dialogue {id}, event {} ({action})", index + 1))?;
            events.extend(event);
        }
        Ok(Self {
            description: one_line(&raw.scenario.wizard_task),
            capabilities: capabilities
                .map(|c| {
                    let domain = c.domain.unwrap_or_else(|| c.task.clone());
                    (c.task, domain)
                })
                .collect(),
            happy: raw.scenario.happy,
            id,
            events,
        })
    }
}

impl RawEvent {
    fn checked(self) -> Result<Option<Event>> {
        fn need<T>(value: Option<T>, key: &str) -> Result<T> {
            value.with_context(|| format!("the key {key} is missing; fetch the data again"))
        }
        let text = |text: Option<String>| Ok::<_, anyhow::Error>(one_line(&need(text, "Text")?));
        Ok(Some(match (self.agent.as_str(), self.action.as_str()) {
            ("User", "utter") => Event::User(text(self.text)?),
            ("Wizard", "utter") => Event::Free(text(self.text)?),
            ("Wizard", "pick_suggestion") => Event::Pick {
                label: need(self.action_label, "ActionLabel")?,
                options: need(self.action_label_options, "ActionLabelOptions")?,
                text: text(self.text)?,
            },
            ("Wizard", "select_task") => Event::Select(need(self.task, "Task")?),
            ("Wizard", "query") => {
                let constraints = need(self.constraints, "Constraints")?;
                let constraints: Vec<(String, Value)> = constraints.into_iter().flatten().collect();
                let requests = constraints.iter().filter(|(key, _)| key == "RequestType");
                Event::Query {
                    task: need(self.api, "APIName")?,
                    request: requests
                        .map(|(_, value)| value.as_str().unwrap_or_default().trim_matches('"'))
                        .collect(),
                    constraints,
                }
            }
            (_, "return_item") => Event::Result {
                task: need(self.api, "APIName")?,
                item: self.item,
            },
            _ => return Ok(None),
        }))
    }
}

/// Blanks and line breaks as single spaces: a turn is a line of the prompt.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
