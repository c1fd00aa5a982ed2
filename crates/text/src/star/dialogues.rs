//! A dialogue followed through its tasks' graphs: where the wizard stands at each pick, and what can be
//! read there.
//!
//! The prompt, a line each: the wizard's task in words, the guardrails, then in order of their
//! happening what was said (`User:`, `Bot:`) and what the database answered (`Result of ...:`). Where a
//! dialogue serves several tasks, the guardrails of each come when the wizard turns to it, again if they lie far back. So
//! prompts of a dialogue go on from one another, and what is cut first is what lies furthest back.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use super::graph::{Position, Task};
use super::guardrails::{guardrails, plain};
use super::records::{Conversation, Event};
use super::wording::{Fact, facts, words};
use crate::{History, Prompt, Said, Speaker, Turn};

/// The label of what a wizard wrote and then picked as it was.
const CUSTOM: &str = "custom";

/// Bytes of prompt after which a task's guardrails are told again when the wizard comes back to it, lest
/// `max_length` has dropped them: about 600 tokens.
const FAR: usize = 2_500;

/// Tasks by name.
pub type Tasks = BTreeMap<String, Task>;

/// A wizard's pick of a canned reply, and where it was made.
#[derive(Clone, Debug)]
pub struct Pick {
    /// The event's number among those of [`Conversation::events`].
    pub index: usize,
    pub task: String,
    pub domain: String,
    pub prompt: Prompt,
    pub label: String,
    pub text: String,
    /// The other options, each once, in the order they were offered.
    pub options: Vec<String>,
    /// Where the conversation may stand in the task's graph.
    pub positions: BTreeSet<Position>,
    /// The replies that the graph allows next.
    pub allowed: BTreeSet<String>,
    /// Fields of the results and the lookups so far, the latest first.
    pub facts: Vec<Fact>,
    /// Fields of the task's latest result.
    pub result: Vec<Fact>,
    /// Every word of the prompt outside guardrails.
    pub known: BTreeSet<String>,
    /// What the bot has said so far.
    pub said: Vec<String>,
}

/// What a dialogue holds.
#[derive(Debug, Default)]
pub struct Walk {
    pub picks: Vec<Pick>,
    /// Replies in the wizard's own words.
    pub free: usize,
    /// Picks of the wizard's own words, which have no other options.
    pub custom: usize,
    /// Picks before anything tells which task is served.
    pub without_task: usize,
}

/// Follows the dialogue.
///
/// The task served is the one that the wizard selected or looked something up for last. A pick that is
/// no reply of it, or that comes before, belongs to the one task of the dialogue that has such a reply;
/// failing that, to the task that the dialogue names next. What the wizard says outside the graph may
/// stand for any step allowed there, so that the conversation may then be at any of them.
///
/// # Errors
/// A task without a graph, by dialogue.
pub fn follow(conversation: &Conversation, tasks: &Tasks) -> Result<Walk> {
    let mut walker = Walker::new(conversation, tasks)?;
    for (index, event) in conversation.events.iter().enumerate() {
        walker
            .event(index, event)
            .with_context(|| format!("dialogue {}", conversation.id))?;
    }
    Ok(walker.walk)
}

struct Walker<'a> {
    conversation: &'a Conversation,
    tasks: &'a Tasks,
    current: Option<&'a Task>,
    positions: BTreeMap<&'a str, BTreeSet<Position>>,
    /// How long the turns were where each task's guardrails were told last.
    told: BTreeMap<&'a str, usize>,
    head: String,
    turns: Vec<Said>,
    facts: Vec<Fact>,
    results: BTreeMap<&'a str, Vec<Fact>>,
    known: BTreeSet<String>,
    said: Vec<String>,
    request: &'a str,
    walk: Walk,
}

impl<'a> Walker<'a> {
    fn new(conversation: &'a Conversation, tasks: &'a Tasks) -> Result<Self> {
        let mut walker = Self {
            conversation,
            tasks,
            current: None,
            positions: BTreeMap::new(),
            told: BTreeMap::new(),
            head: format!("{}\n", conversation.description),
            turns: Vec::new(),
            facts: Vec::new(),
            results: BTreeMap::new(),
            known: words(&conversation.description).into_iter().collect(),
            said: Vec::new(),
            request: "",
            walk: Walk::default(),
        };
        if let [(name, _)] = conversation.capabilities.as_slice() {
            let task = walker
                .task(name)
                .with_context(|| format!("dialogue {}", conversation.id))?;
            walker.head.push_str(&guardrails(task));
            walker.told.insert(&task.name, 0);
            walker.current = Some(task);
        }
        Ok(walker)
    }

    fn task(&self, name: &str) -> Result<&'a Task> {
        self.tasks.get(name).with_context(|| {
            format!("its task {name} has no tasks/{name}/{name}.json; fetch the data again")
        })
    }

    fn event(&mut self, index: usize, event: &'a Event) -> Result<()> {
        match event {
            Event::User(text) => self.turn(Speaker::User, text),
            Event::Free(text) => {
                self.walk.free += 1;
                self.outside();
                self.says(text);
            }
            Event::Select(name) => {
                let task = self.task(name)?;
                self.enter(task);
            }
            Event::Query {
                request,
                constraints,
                ..
            } => {
                self.request = request;
                let plain = constraints.iter().filter_map(|(name, value)| {
                    let value = value.as_str()?.trim_matches('"');
                    let computed = value.contains('(');
                    (!computed && name != "RequestType").then(|| (name.clone(), value.to_owned()))
                });
                let plain: Vec<Fact> = plain.collect();
                self.facts.splice(0..0, plain);
            }
            Event::Result { task, item } => {
                let task = self.task(task)?;
                self.result(task, item.as_ref());
            }
            Event::Pick {
                label,
                options,
                text,
            } => {
                if label == CUSTOM {
                    self.walk.custom += 1;
                    self.outside();
                } else {
                    self.pick(index, label, options, text)?;
                }
                self.says(text);
            }
        }
        Ok(())
    }

    fn turn(&mut self, speaker: Speaker, text: &str) {
        self.known.extend(words(text));
        let text = text.to_owned();
        self.turns.push(Said::Turn(Turn { speaker, text }));
    }

    fn says(&mut self, text: &str) {
        self.turn(Speaker::Bot, text);
        self.said.push(text.to_owned());
    }

    /// Turns to a task, telling its guardrails unless they were told not far back.
    fn enter(&mut self, task: &'a Task) {
        if self
            .current
            .is_some_and(|current| current.name == task.name)
        {
            return;
        }
        self.current = Some(task);
        let length: usize = self.turns.iter().map(|said| said.line().len()).sum();
        let told = self.told.get(task.name.as_str());
        let note = if told.is_some_and(|at| length - at <= FAR) {
            format!("Back to {}.", plain(&task.name))
        } else {
            self.told.insert(&task.name, length);
            guardrails(task).trim_end_matches('\n').to_owned()
        };
        self.turns.push(Said::Note(note));
    }

    fn result(&mut self, task: &'a Task, item: Option<&Map<String, Value>>) {
        self.enter(task);
        let found = item.map(facts);
        let text = found.as_ref().map(|facts| {
            let values: Vec<&str> = facts.iter().map(|(_, value)| value.as_str()).collect();
            values.join(" ")
        });
        let position = Position::found(task, self.request, text.as_deref());
        self.positions.insert(&task.name, [position].into());
        let request = match self.request {
            "" => String::new(),
            request => format!(", {}", request.to_lowercase()),
        };
        let shown = item.map_or("nothing found".into(), shown);
        self.known.extend(words(&shown));
        let of = plain(&task.name);
        let note = format!("Result of {of}{request}: {shown}");
        self.turns.push(Said::Note(note));
        let found = found.unwrap_or_default();
        self.facts.splice(0..0, found.clone());
        self.results.insert(&task.name, found);
    }

    fn pick(&mut self, index: usize, label: &str, options: &[String], text: &str) -> Result<()> {
        let Some(task) = self.serving(index, label)? else {
            self.walk.without_task += 1;
            return Ok(());
        };
        self.enter(task);
        let positions = self.standing(task);
        let allowed = task.allowed(&positions);
        let mut others: Vec<String> = Vec::new();
        for option in options {
            if option != label && !others.contains(option) {
                others.push(option.clone());
            }
        }
        let capabilities = &self.conversation.capabilities;
        let domain = capabilities.iter().find(|(name, _)| *name == task.name);
        self.walk.picks.push(Pick {
            index,
            task: task.name.clone(),
            domain: domain.map_or_else(String::new, |(_, domain)| domain.clone()),
            prompt: self.prompt(),
            label: label.to_owned(),
            text: text.to_owned(),
            options: others,
            positions,
            allowed,
            facts: self.facts.clone(),
            result: self
                .results
                .get(task.name.as_str())
                .cloned()
                .unwrap_or_default(),
            known: self.known.clone(),
            said: self.said.clone(),
        });
        if task.has_node(label) || task.closes(label) {
            let said = Position::Said(label.to_owned());
            self.positions.insert(&task.name, [said].into());
        } else {
            self.outside();
        }
        Ok(())
    }

    /// The task that a pick of `label` serves.
    fn serving(&self, index: usize, label: &str) -> Result<Option<&'a Task>> {
        if let Some(task) = self.current
            && task.replies.contains_key(label)
        {
            return Ok(Some(task));
        }
        let mut owners = Vec::new();
        for (name, _) in &self.conversation.capabilities {
            let task = self.task(name)?;
            if task.replies.contains_key(label) {
                owners.push(task);
            }
        }
        if let [owner] = owners.as_slice() {
            return Ok(Some(owner));
        }
        if self.current.is_some() {
            return Ok(self.current);
        }
        let named = self.conversation.events[index..]
            .iter()
            .find_map(|event| match event {
                Event::Select(name) | Event::Query { task: name, .. } => Some(name),
                _ => None,
            });
        named.map(|name| self.task(name)).transpose()
    }

    fn standing(&self, task: &Task) -> BTreeSet<Position> {
        let positions = self.positions.get(task.name.as_str());
        positions
            .cloned()
            .unwrap_or_else(|| [Position::Start].into())
    }

    /// Something was said that the graph does not know: perhaps in place of a step.
    fn outside(&mut self) {
        let Some(task) = self.current else { return };
        let mut positions = self.standing(task);
        let allowed = task.allowed(&positions);
        positions.extend(allowed.into_iter().map(Position::Said));
        self.positions.insert(&task.name, positions);
    }

    fn prompt(&self) -> Prompt {
        Prompt::Dialogue(History {
            persona: None,
            told: self.head.clone(),
            turns: self.turns.clone(),
        })
    }
}

/// An item as one line.
fn shown(item: &Map<String, Value>) -> String {
    let fields = item.iter().filter(|(name, _)| *name != "APIName");
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{name} = {}", plain_value(value)))
        .collect();
    let text = fields.join("; ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(plain_value).collect();
            values.join(" | ")
        }
        other => other.to_string(),
    }
}
