//! The oracle: a reply is matched to one of its task's canned replies, and keeps to its guardrails
//! exactly if the graph allows that one at this point.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::graph::OUT_OF_SCOPE;
use super::wording::{Match, Pattern, words};
use crate::Verdict;

/// Least similarity ([`Pattern::compare`]) at which a reply counts as a canned one.
pub const THRESHOLD: f64 = 0.7;

/// All that judging a reply takes: the `meta` of an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    pub dialogue: String,
    pub task: String,
    pub domain: String,
    pub multi_task: bool,
    pub happy: bool,
    /// Where the conversation may stand in the graph.
    pub nodes: Vec<String>,
    /// The replies that the graph allows next.
    pub allowed: BTreeSet<String>,
    /// The other options that the wizard had.
    pub options: Vec<String>,
    /// The wizard's pick.
    pub chosen: String,
    /// The kind of step that is due, which is the pick's ([`super::graph::Task::kind`]).
    pub rule: String,
    /// Wordings of the task's replies, by label.
    pub templates: BTreeMap<String, Vec<String>>,
    /// Every word of the prompt outside guardrails, apart by blanks.
    pub known: String,
    /// What the bot has said so far.
    pub said: Vec<String>,
}

impl Situation {
    /// Reads an example's `meta`.
    ///
    /// # Errors
    /// One that is not of a `star` stage.
    pub fn read(meta: &Map<String, Value>) -> Result<Self> {
        serde_json::from_value(Value::Object(meta.clone()))
            .context("meta: not that of an example from a stage of kind star; make the data again")
    }

    /// The canned reply that `reply` is most like, if it is like any: by similarity, then by how many
    /// words the wording has, then one that is allowed.
    pub fn classify(&self, reply: &str) -> Option<(&str, Match)> {
        let reply = words(reply);
        if reply.is_empty() {
            return None;
        }
        let wordings = self.templates.iter().flat_map(|(label, texts)| {
            let texts = texts.iter().map(|text| Pattern::new(text));
            texts.map(move |pattern| (label.as_str(), pattern))
        });
        wordings
            .map(|(label, pattern)| (label, pattern.compare(&reply)))
            .filter(|(_, found)| found.similarity >= THRESHOLD)
            .max_by(|(a, left), (b, right)| {
                let rank = |found: &Match| (found.similarity, found.literals);
                let (left, right) = (rank(left), rank(right));
                left.0
                    .total_cmp(&right.0)
                    .then(left.1.cmp(&right.1))
                    .then(self.allowed.contains(*a).cmp(&self.allowed.contains(*b)))
            })
    }

    /// Whether two labels are one or share a wording, as goodbyes do.
    pub fn alike(&self, one: &str, other: &str) -> bool {
        let wordings = |label: &str| self.templates.get(label).into_iter().flatten();
        let shared = |text: &String| wordings(other).any(|known| words(known) == words(text));
        one == other || wordings(one).any(shared)
    }

    /// Judges a reply; see [`judge_reply`].
    pub fn judge(&self, reply: &str) -> Verdict {
        let found = self.classify(reply);
        let label = found.as_ref().map(|(label, _)| *label);
        let adherent = label.is_some_and(|label| self.allowed.contains(label));
        let refuses = label
            .is_some_and(|label| label == OUT_OF_SCOPE || label.ends_with("_inform_nothing_found"));
        // Where a question is due, another one is out of order rather than cautious.
        let due = !matches!(self.rule.as_str(), "ask" | "confirm" | "greet");
        let asks = due && reply.trim_end().ends_with('?');
        Verdict {
            adherent: Some(adherent),
            rule: Some(self.rule.clone()),
            domain: self.task.clone(),
            hallucinated: found.and_then(|(_, found)| self.invented(&found)),
            naturalness: None,
            over_conservative: !adherent && (refuses || asks),
            repetitive: repeats_itself(reply) || (!adherent && self.repeats(reply)),
        }
    }

    /// Whether a slot holds a word that the prompt does not.
    fn invented(&self, found: &Match) -> Option<bool> {
        let known: BTreeSet<&str> = self.known.split(' ').collect();
        let slots = found.slots.as_ref()?;
        Some(
            slots
                .iter()
                .flatten()
                .any(|word| !known.contains(word.as_str())),
        )
    }

    fn repeats(&self, reply: &str) -> bool {
        let reply = words(reply);
        self.said.iter().any(|said| words(said) == reply)
    }
}

/// Judges `reply` at the point that an example's `meta` describes.
///
/// - `adherent`: the canned reply it is nearest to is one that the graph allows there. A reply that is
///   near to none is not adherent: the guardrails say what to say next, and it is nothing of that.
/// - `rule`: the kind of step that is due; `domain`: the task.
/// - `hallucinated`: where the reply agrees with its template word for word, whether a slot holds a word
///   found nowhere in the prompt; else nothing.
/// - `over_conservative`: it breaks the guardrails by refusing, or by asking where no question is due.
/// - `repetitive`: a sentence twice, or one of the bot's earlier turns where the graph does not allow it.
///
/// # Errors
/// A `meta` that is not of a `star` stage.
pub fn judge_reply(meta: &Map<String, Value>, reply: &str) -> Result<Verdict> {
    Ok(Situation::read(meta)?.judge(reply))
}

/// Whether the same sentence of two words or more comes twice.
fn repeats_itself(reply: &str) -> bool {
    let mut seen = BTreeSet::new();
    let sentences = reply.split(['.', '?', '!', '\n']).map(words);
    let mut sentences = sentences.filter(|words| words.len() > 1);
    sentences.any(|words| !seen.insert(words))
}
