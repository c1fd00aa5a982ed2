//! Preference pairs: the wizard's pick against options that the graph does not allow.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use anyhow::{Context as _, Result};
use rapport_store::hash_bytes;
use serde_json::{Map, Value};

use super::adherence::{Situation, THRESHOLD};
use super::dialogues::{Pick, Tasks};
use super::graph::{Position, Task};
use super::records::{Conversation, Event};
use super::wording::{Fact, Pattern, fill, words};
use crate::{Completion, Example, Role};

/// Spoken wordings kept for one label.
const KEPT: usize = 32;
/// Heard wordings that a task keeps of one reply.
const HEARD: usize = 4;
/// Least words of a field that can be a whole reply.
const SENTENCE: usize = 3;

/// Replies as wizards spoke them, by label.
#[derive(Clone, Debug, Default)]
pub struct Spoken(BTreeMap<String, Vec<String>>);

impl Spoken {
    /// Adds the picks of a dialogue.
    pub fn add(&mut self, conversation: &Conversation) {
        for event in &conversation.events {
            if let Event::Pick { label, text, .. } = event {
                let texts = self.0.entry(label.clone()).or_default();
                if texts.len() < KEPT && !texts.contains(text) {
                    texts.push(text.clone());
                }
            }
        }
    }

    /// Gives the tasks the wordings of their replies that no template of theirs is like: the files word
    /// some replies otherwise than the wizards' tool did, and some goodbyes not at all.
    pub fn complete(&self, tasks: &mut Tasks) {
        for task in tasks.values_mut() {
            for (label, texts) in &self.0 {
                if !task.replies.contains_key(label) && !task.closes(label) {
                    continue;
                }
                let wordings = task.replies.get(label).into_iter().flatten();
                let patterns: Vec<Pattern> = wordings.map(|text| Pattern::new(text)).collect();
                // What fits any reply says nothing of what was heard.
                if patterns.iter().any(|pattern| !pattern.has_words()) {
                    continue;
                }
                let heard = task.heard.entry(label.clone()).or_default();
                for text in texts {
                    let said = words(text);
                    let known = |pattern: &Pattern| pattern.compare(&said).similarity >= THRESHOLD;
                    let new = !patterns.iter().any(known) && !heard.contains(text);
                    if new && heard.len() < HEARD {
                        heard.push(text.clone());
                    }
                }
            }
        }
    }

    fn draw(&self, label: &str, seed: &str) -> Option<&str> {
        let texts = self.0.get(label)?;
        Some(&texts[(uniform(seed) * texts.len() as f64) as usize])
    }
}

/// A number in [0, 1) that depends on the text alone.
pub fn uniform(text: &str) -> f64 {
    let hash = hash_bytes(text.as_bytes());
    let bits = u64::from_str_radix(hash.as_str(), 16).unwrap_or_default();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// What became of picks and options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Picks of canned replies.
    pub picks: usize,
    /// Picks that the graph does not allow, of which ...
    pub off_graph: usize,
    /// ... those whose reply is no node of it.
    pub outside_graph: usize,
    /// Options beside the picks, each once.
    pub options: usize,
    /// Options beside picks that the graph allows ...
    pub considered: usize,
    /// ... of which the graph allows these too.
    pub allowed_options: usize,
    /// Options for which there is no wording whose slots can be filled.
    pub unworded: usize,
    /// Options worded like the pick, or like a reply that the graph allows.
    pub alike: usize,
    /// Rejected replies in the words of another dialogue.
    pub borrowed: usize,
    /// Picks whose reply the oracle takes for another than its label, or for none.
    pub misread: usize,
    /// Picks with at least one pair.
    pub paired: usize,
    pub pairs: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.picks += other.picks;
        self.off_graph += other.off_graph;
        self.outside_graph += other.outside_graph;
        self.options += other.options;
        self.considered += other.considered;
        self.allowed_options += other.allowed_options;
        self.unworded += other.unworded;
        self.alike += other.alike;
        self.borrowed += other.borrowed;
        self.misread += other.misread;
        self.paired += other.paired;
        self.pairs += other.pairs;
    }
}

/// The pairs of a pick: none if the graph does not allow it; one for each option that the graph does not
/// allow, or only for the first that was offered. A rejected reply is the option's template filled with
/// what the dialogue has brought up, or else, where a slot finds nothing, the option as it was spoken in
/// another dialogue.
///
/// # Errors
/// What cannot become JSON.
pub fn pairs(
    pick: &Pick,
    conversation: &Conversation,
    tasks: &Tasks,
    spoken: &Spoken,
    all: bool,
) -> Result<(Vec<Example>, Counts)> {
    let task = &tasks[&pick.task];
    let mut counts = Counts {
        picks: 1,
        options: pick.options.len(),
        ..Counts::default()
    };
    if !pick.allowed.contains(&pick.label) {
        counts.off_graph = 1;
        let closing = task.closes(&pick.label);
        counts.outside_graph = usize::from(!closing && !task.has_node(&pick.label));
        return Ok((Vec::new(), counts));
    }
    counts.considered = pick.options.len();
    let situation = situation(pick, conversation, task);
    let read = situation.classify(&pick.text).map(|(label, _)| label);
    let right = read.is_some_and(|read| situation.alike(read, &pick.label));
    counts.misread = usize::from(!right);
    let meta = as_map(&situation)?;
    let mut examples: Vec<Example> = Vec::new();
    for option in &pick.options {
        if pick.allowed.contains(option) {
            counts.allowed_options += 1;
            continue;
        }
        if !all && !examples.is_empty() {
            continue;
        }
        let id = format!("{}:{}:{option}", conversation.id, pick.index);
        let filled = template(option, task, tasks).and_then(|text| fill(text, &pick.facts));
        let borrowed = filled.is_none();
        let rejected = filled.or_else(|| spoken.draw(option, &id).map(str::to_owned));
        let Some(rejected) = rejected else {
            counts.unworded += 1;
            continue;
        };
        let same = words(&rejected) == words(&pick.text);
        if same || situation.judge(&rejected).adherent == Some(true) {
            counts.alike += 1;
            continue;
        }
        counts.borrowed += usize::from(borrowed);
        let completion = |text: &str, role| Completion::new(format!(" {text}"), role);
        examples.push(Example {
            id,
            group: conversation.id.clone(),
            prompt: pick.prompt.clone(),
            completions: vec![
                completion(&pick.text, Role::Chosen),
                completion(&rejected, Role::Rejected),
            ],
            meta: meta.clone(),
        });
    }
    counts.pairs = examples.len();
    counts.paired = usize::from(!examples.is_empty());
    Ok((examples, counts))
}

fn situation(pick: &Pick, conversation: &Conversation, task: &Task) -> Situation {
    let known: Vec<&str> = pick.known.iter().map(String::as_str).collect();
    Situation {
        dialogue: conversation.id.clone(),
        task: pick.task.clone(),
        domain: pick.domain.clone(),
        multi_task: conversation.capabilities.len() > 1,
        happy: conversation.happy,
        nodes: pick.positions.iter().map(Position::name).collect(),
        allowed: pick.allowed.clone(),
        options: pick.options.clone(),
        chosen: pick.label.clone(),
        rule: task.kind(&pick.label).to_owned(),
        templates: templates(pick, task),
        known: known.join(" "),
        said: pick.said.clone(),
    }
}

/// All wordings of the task's replies, by label.
fn templates(pick: &Pick, task: &Task) -> BTreeMap<String, Vec<String>> {
    let mut templates: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (label, texts) in task.replies.iter().chain(&task.heard) {
        let texts = texts.iter().flat_map(|text| concrete(text, &pick.result));
        templates.entry(label.clone()).or_default().extend(texts);
    }
    templates
}

/// A template; one that is nothing but slots would fit any reply, so what it can stand for instead: the
/// field of the latest result that it names, or else every field that is a sentence.
fn concrete(template: &str, result: &[Fact]) -> Vec<String> {
    if Pattern::new(template).has_words() {
        return vec![template.to_owned()];
    }
    if let Some(text) = fill(template, result) {
        return vec![text];
    }
    let values = result.iter().map(|(_, value)| value);
    let sentences = values.filter(|value| words(value).len() >= SENTENCE);
    sentences.cloned().collect()
}

/// The option's template in the task served, or else in the first task that has one.
fn template<'a>(label: &str, task: &'a Task, tasks: &'a Tasks) -> Option<&'a str> {
    let own = std::iter::once(task);
    let mut wordings = own
        .chain(tasks.values())
        .filter_map(|task| task.replies.get(label));
    wordings.next()?.first().map(String::as_str)
}

fn as_map(situation: &Situation) -> Result<Map<String, Value>> {
    let value = serde_json::to_value(situation)?;
    let map = value.as_object().cloned();
    map.context("a situation is a JSON object")
}
