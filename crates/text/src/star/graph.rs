//! A task's flow graph, and which replies it allows next.
//!
//! The files give one edge for each node. Nodes are replies, lookups (`query...`), their outcomes
//! (`available`, ...) and the user's answers (`yes`, ...). What the files leave to the reader of the
//! flow chart is completed by these rules:
//!
//! - A *request* is a reply from which the edges lead to a lookup: it gathers what that needs. What the
//!   user has already said need not be asked, so a request may be passed over; order is kept.
//! - A lookup is never passed over: only its result leads beyond it, to its own edge, or else to the
//!   outcome that the result shows. One that found nothing leads to the reply that says so.
//! - A reply without an edge waits for the user: the answers of the graph follow, and the closing ones
//!   (`anything_else`, goodbyes) unless it asked something that the graph has answers to.
//! - A question may be put again while it is not answered.
//! - `anything_else` may be passed over; after it come goodbyes, or the first steps anew.
//! - `info_missing` follows a request of the main path that was put, `info_missing2` one of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::records::json;

const LOOKUPS: [&str; 3] = ["query", "query_check", "query_book"];
/// A lookup's good and bad outcome.
const CHECKED: [&str; 2] = ["available", "unavailable"];
const DONE: [&str; 2] = ["query_success", "query_failure"];
const ANSWERS: [&str; 6] = ["yes", "no", "correct", "incorrect", "noanswer", "done"];
const MISSING: [&str; 2] = ["info_missing", "info_missing2"];
const HELLO: &str = "hello";
pub(super) const ANYTHING_ELSE: &str = "anything_else";
pub(super) const OUT_OF_SCOPE: &str = "out_of_scope";
const GOODBYES: [&str; 2] = ["goodbye_1", "goodbye_2"];
/// Words by which a result shows that the lookup failed.
const BAD: [&str; 8] = [
    "unavailable",
    "fail",
    "unable",
    "conflict",
    "is booked",
    "too small",
    "must provide",
    "not authorized",
];

/// A task with its replies and its graph.
#[derive(Clone, Debug)]
pub struct Task {
    pub name: String,
    /// Wordings of each reply, slots in braces; the one to speak first.
    pub replies: BTreeMap<String, Vec<String>>,
    /// Wordings heard in dialogues that are like none of the files', by which replies are known too.
    pub heard: BTreeMap<String, Vec<String>>,
    /// Where each node leads, in the file's order of nodes.
    pub edges: Vec<(String, String)>,
    nodes: BTreeSet<String>,
}

/// Where a conversation stands in a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    Start,
    /// After a reply.
    Said(String),
    /// After a lookup.
    Found {
        lookup: String,
        success: bool,
        empty: bool,
    },
}

impl Position {
    /// The position after a lookup of kind `request` (`Check`, `Book` or nothing) whose item reads `item`.
    pub fn found(task: &Task, request: &str, item: Option<&str>) -> Self {
        let asked = if request.contains("Book") {
            "query_book"
        } else if request.contains("Check") {
            "query_check"
        } else {
            "query"
        };
        let lookup = if task.nodes.contains(asked) || !task.nodes.contains("query") {
            asked
        } else {
            "query"
        };
        let text = item.unwrap_or_default().to_lowercase();
        Self::Found {
            lookup: lookup.to_owned(),
            success: !BAD.iter().any(|word| text.contains(word)),
            empty: item.is_none(),
        }
    }

    /// The node's name, with the outcome of a lookup.
    pub fn name(&self) -> String {
        match self {
            Self::Start => "start".into(),
            Self::Said(label) => label.clone(),
            Self::Found { lookup, empty, .. } if *empty => format!("{lookup} (nothing found)"),
            Self::Found {
                lookup, success, ..
            } => {
                format!(
                    "{lookup} ({})",
                    if *success { "success" } else { "failure" }
                )
            }
        }
    }
}

/// `tasks/NAME/NAME.json`.
#[derive(Deserialize)]
struct RawTask {
    replies: serde_json::Map<String, serde_json::Value>,
    graph: serde_json::Map<String, serde_json::Value>,
}

impl Task {
    /// Reads a task from its graph's file and its `responses.json`, whose wordings come first.
    ///
    /// # Errors
    /// Malformed JSON; an edge or reply that is no text; an edge to a reply that has no wording.
    pub fn parse(name: &str, graph: &[u8], responses: &[u8]) -> Result<Self> {
        let raw: RawTask = json(graph)?;
        let responses: serde_json::Map<String, serde_json::Value> = json(responses)?;
        let mut replies: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (label, text) in responses.into_iter().chain(raw.replies) {
            let Some(text) = text.as_str() else {
                bail!("{label}: expected a text, found {text}");
            };
            let wordings = replies.entry(label).or_default();
            if !wordings.iter().any(|known| known == text) {
                wordings.push(text.to_owned());
            }
        }
        replies.retain(|label, _| !is_state(label));
        let mut edges = Vec::new();
        for (from, to) in raw.graph {
            let Some(to) = to.as_str() else {
                bail!("graph: {from}: expected the name of a node, found {to}");
            };
            edges.push((from, to.to_owned()));
        }
        ensure!(!edges.is_empty(), "the graph has no edges");
        let nodes: BTreeSet<String> = edges
            .iter()
            .flat_map(|(from, to)| [from.clone(), to.clone()])
            .collect();
        for node in nodes.iter().filter(|node| !is_state(node)) {
            ensure!(
                replies.contains_key(node),
                "the graph's node {node} has no reply; fetch the data again"
            );
        }
        Ok(Self {
            name: name.to_owned(),
            replies,
            heard: BTreeMap::new(),
            edges,
            nodes,
        })
    }

    /// Whether the graph has the reply as a node.
    pub fn has_node(&self, label: &str) -> bool {
        self.nodes.contains(label)
    }

    /// Where the node leads.
    pub fn edge(&self, node: &str) -> Option<&str> {
        let edge = self.edges.iter().find(|(from, _)| from == node);
        edge.map(|(_, to)| to.as_str())
    }

    /// Whether the reply ends a conversation or offers to.
    pub fn closes(&self, label: &str) -> bool {
        label == ANYTHING_ELSE || is_goodbye(label)
    }

    /// Whether the reply says that a lookup found nothing.
    pub fn says_nothing_found(&self, label: &str) -> bool {
        label.ends_with("_inform_nothing_found")
    }

    /// The kind of step that a reply is: `greet`, `ask`, `confirm`, `inform`, `nothing_found`, `close`.
    pub fn kind(&self, label: &str) -> &'static str {
        if self.closes(label) {
            "close"
        } else if self.says_nothing_found(label) {
            "nothing_found"
        } else if label == HELLO {
            "greet"
        } else if self.is_request(label) {
            "ask"
        } else if self.is_question(label) {
            "confirm"
        } else {
            "inform"
        }
    }

    /// The replies that the graph allows next, standing at any one of `positions`.
    pub fn allowed(&self, positions: &BTreeSet<Position>) -> BTreeSet<String> {
        let nexts = positions.iter().map(|position| self.allowed_at(position));
        nexts.flatten().collect()
    }

    fn allowed_at(&self, position: &Position) -> BTreeSet<String> {
        let mut open: Vec<String> = match position {
            Position::Start => self.roots(),
            Position::Said(label) => {
                let mut open = self.after(label);
                if self.is_question(label) {
                    open.push(label.clone());
                }
                open
            }
            Position::Found {
                lookup,
                success,
                empty,
            } => {
                let nothing = self.replies.keys().filter(|l| self.says_nothing_found(l));
                let nothing: BTreeSet<String> = nothing.cloned().collect();
                if *empty && !nothing.is_empty() {
                    return nothing;
                }
                self.after_lookup(lookup, *success)
            }
        };
        let (mut seen, mut allowed) = (BTreeSet::new(), BTreeSet::new());
        while let Some(node) = open.pop() {
            if !seen.insert(node.clone()) || LOOKUPS.contains(&node.as_str()) {
                continue;
            }
            if is_state(&node) {
                open.extend(self.edge(&node).map(str::to_owned));
                continue;
            }
            if node == ANYTHING_ELSE {
                open.extend(self.after(&node));
            } else if self.is_request(&node) {
                open.extend(self.edge(&node).map(str::to_owned));
            }
            allowed.insert(node);
        }
        allowed
    }

    /// The nodes where a conversation begins.
    pub fn roots(&self) -> Vec<String> {
        if self.has_node(HELLO) {
            return vec![HELLO.to_owned()];
        }
        let reached = |node: &str| self.edges.iter().any(|(_, to)| to == node);
        let sources = self.edges.iter().map(|(from, _)| from);
        sources
            .filter(|node| !is_state(node) && !reached(node))
            .cloned()
            .collect()
    }

    /// The nodes that come straight after a reply.
    fn after(&self, label: &str) -> Vec<String> {
        let mut next: Vec<String> = Vec::new();
        if label == ANYTHING_ELSE {
            next.extend(self.closings().filter(|l| l != ANYTHING_ELSE));
            let roots = self.roots();
            next.extend(
                roots
                    .iter()
                    .filter_map(|root| self.edge(root))
                    .map(String::from),
            );
            let no = self.edge("no").filter(|to| is_goodbye(to));
            next.extend(no.map(str::to_owned));
        } else if let Some(to) = self.edge(label) {
            next.push(to.to_owned());
        } else if is_goodbye(label) {
            next.extend(self.closings());
        } else {
            let answers = ANSWERS.iter().filter(|answer| self.has_node(answer));
            next.extend(answers.map(|answer| answer.to_string()));
            if next.is_empty() || !self.is_question(label) {
                next.extend(self.closings());
            }
        }
        if self.is_request(label) {
            let own = self.below(MISSING[0]).contains(label);
            let missing = if own { MISSING[1] } else { MISSING[0] };
            if self.has_node(missing) && label != HELLO {
                next.push(missing.to_owned());
            }
        }
        next
    }

    fn after_lookup(&self, lookup: &str, success: bool) -> Vec<String> {
        if let Some(to) = self.edge(lookup) {
            return vec![to.to_owned()];
        }
        let outcomes = if lookup == LOOKUPS[1] {
            [CHECKED, DONE]
        } else {
            [DONE, CHECKED]
        };
        let known = |pair: &&[&str; 2]| pair.iter().any(|node| self.has_node(node));
        let pair = outcomes.iter().find(known);
        pair.map(|[good, bad]| if success { good } else { bad })
            .map(|node| vec![node.to_string()])
            .unwrap_or_default()
    }

    /// The closing replies, among them goodbyes that no file words.
    fn closings(&self) -> impl Iterator<Item = String> {
        let own = self.replies.keys().filter(|label| is_goodbye(label));
        let general = GOODBYES.iter().chain([&ANYTHING_ELSE]);
        own.cloned().chain(general.map(|label| label.to_string()))
    }

    /// Whether the edges lead from the reply to a lookup.
    pub fn is_request(&self, label: &str) -> bool {
        !is_state(label) && self.path(label).any(|node| LOOKUPS.contains(&node))
    }

    /// Whether the reply puts a question.
    pub fn is_question(&self, label: &str) -> bool {
        let asks = |text: &String| text.contains('?');
        label.starts_with("ask_")
            || label.contains("_ask_")
            || self
                .replies
                .get(label)
                .is_some_and(|texts| texts.iter().any(asks))
    }

    fn below(&self, node: &str) -> BTreeSet<&str> {
        self.path(node).collect()
    }

    /// The nodes along the edges after `node`, each once.
    pub fn path<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a str> {
        let mut seen = BTreeSet::new();
        std::iter::successors(self.edge(node), |node| self.edge(node))
            .take_while(move |node| seen.insert(*node))
    }
}

/// Whether the node is no reply: a lookup, its outcome, or the user's answer.
pub(super) fn is_state(node: &str) -> bool {
    let states = [&LOOKUPS[..], &CHECKED, &DONE, &ANSWERS, &MISSING];
    states.concat().contains(&node)
}

/// Whether the node is a lookup.
pub(super) fn is_lookup(node: &str) -> bool {
    LOOKUPS.contains(&node)
}

fn is_goodbye(label: &str) -> bool {
    label.ends_with("_bye") || label.starts_with("goodbye")
}
