//! A flow graph in words.
//!
//! Each chain of edges becomes one line, begun by the condition under which it is entered. A reply is
//! called by its label without the domain, and quoted where it is first mentioned.

use std::collections::BTreeSet;

use super::graph::{ANYTHING_ELSE, Task, is_lookup, is_state};
use super::wording::readable;

/// The task's guardrails, one a line.
pub fn guardrails(task: &Task) -> String {
    let mut writer = Writer {
        task,
        quoted: BTreeSet::new(),
        walked: BTreeSet::new(),
        text: format!("Guardrails for {}:\n", plain(&task.name)),
    };
    let roots = task.roots();
    for root in &roots {
        writer.chain("First", root, true);
    }
    for (from, _) in &task.edges {
        if is_state(from) && !writer.walked.contains(from.as_str()) {
            writer.chain(condition(from), from, false);
        }
    }
    for (from, _) in &task.edges {
        if !writer.walked.contains(from.as_str()) {
            let name = writer.name(from);
            writer.chain(&format!("After {name}"), from, false);
        }
    }
    writer.rest()
}

struct Writer<'a> {
    task: &'a Task,
    quoted: BTreeSet<&'a str>,
    /// Nodes whose edge has been told.
    walked: BTreeSet<&'a str>,
    text: String,
}

impl<'a> Writer<'a> {
    /// Tells the edges from `from` on, up to a lookup, an edge already told or the end of the path.
    fn chain(&mut self, condition: &str, from: &str, with_first: bool) {
        let Some((first, _)) = self.task.edges.iter().find(|(node, _)| node == from) else {
            return;
        };
        let mut steps = Vec::new();
        if with_first {
            steps.push(self.step(first));
        }
        let mut node: &'a str = first;
        while self.walked.insert(node) {
            let Some(next) = self.task.edge(node) else {
                break;
            };
            steps.push(self.step(next));
            node = next;
            if is_lookup(node) {
                break;
            }
        }
        self.line(&format!("{condition}: {}.", steps.join(", then ")));
    }

    fn line(&mut self, line: &str) {
        self.text.push_str("- ");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A node as something to do.
    fn step(&mut self, node: &'a str) -> String {
        match node {
            "query" => "look it up".into(),
            "query_check" => "run the check".into(),
            "query_book" => "make the booking".into(),
            _ => match self.task.replies.get(node).and_then(|texts| texts.first()) {
                Some(text) if self.quoted.insert(node) => {
                    format!("{} (\"{}\")", self.name(node), readable(text))
                }
                _ => self.name(node),
            },
        }
    }

    /// A reply's label without its domain.
    fn name(&self, label: &str) -> String {
        let domain = self.task.name.split('_').next().unwrap_or_default();
        let short = label
            .strip_prefix(domain)
            .and_then(|rest| rest.strip_prefix('_'));
        plain(short.unwrap_or(label))
    }

    /// What holds throughout.
    fn rest(mut self) -> String {
        let replies = &self.task.replies;
        let nothing = replies.keys().find(|l| self.task.says_nothing_found(l));
        if let Some(nothing) = nothing {
            let step = self.step(nothing);
            self.line(&format!("If a lookup finds nothing: only {step}."));
        }
        let closing = |label: &&String| self.task.closes(label) && *label != ANYTHING_ELSE;
        let goodbye = replies.keys().find(closing);
        let closings: Vec<&String> = replies
            .get_key_value(ANYTHING_ELSE)
            .map(|(label, _)| label)
            .into_iter()
            .chain(goodbye)
            .collect();
        let closings: Vec<String> = closings.into_iter().map(|label| self.step(label)).collect();
        if !closings.is_empty() {
            self.line(&format!(
                "Where no step follows, close: {}.",
                closings.join(", then ")
            ));
        }
        self.line(
            "Keep to this order. Pass over a question that is already answered, never a lookup. \
             Say nothing that no step calls for.",
        );
        self.text
    }
}

/// How the state is told as the condition of what follows.
fn condition(state: &str) -> &'static str {
    match state {
        "available" => "If available",
        "unavailable" => "If not available",
        "query_success" => "If that succeeds",
        "query_failure" => "If that fails",
        "yes" => "If the user agrees",
        "no" => "If the user declines",
        "correct" => "If the user's answer is right",
        "incorrect" => "If the user's answer is wrong",
        "noanswer" => "If the user has no answer",
        "done" => "When nothing is left",
        "info_missing" => "If the user cannot tell one of these",
        "info_missing2" => "If the user cannot tell those either",
        "query_check" => "After the check",
        "query_book" => "After the booking",
        _ => "After the lookup",
    }
}

/// A name with spaces for underscores.
pub(super) fn plain(name: &str) -> String {
    name.replace('_', " ")
}
