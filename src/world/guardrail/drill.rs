//! Practice in looking up what a prompt states: each subject is named by the user in turn, and the bot reads
//! out what stands there. It stands for what a pre-trained model can do with any text.

use std::collections::HashSet;

use rand::Rng;
use rand::seq::SliceRandom;
use serde_json::Map;

use super::grammar::Domain;
use super::kind::RuleKind;
use super::stated::Stated;
use crate::data::template::prompt;
use crate::data::{Completion, Example, Role, Speaker, Turn};

/// Draws until the head is not in `seen`, and adds it there. An example for each subject, in any order: of a
/// fact that a rule is about, the rule is read.
pub fn drill<R: Rng>(
    rng: &mut R,
    domains: &[&'static Domain],
    seen: &mut HashSet<String>,
    id: &str,
) -> Vec<Example> {
    let head = loop {
        let head = Stated::draw(rng, &RuleKind::ALL, domains).head;
        if seen.insert(head.clone()) {
            break head;
        }
    };
    let stated = head.lines().filter_map(|line| line.strip_prefix("- "));
    let mut lines: Vec<(String, &str)> = Vec::new();
    for line in stated {
        let subject = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        if lines.iter().all(|(known, _)| *known != subject) {
            lines.push((subject, line));
        }
    }
    lines.shuffle(rng);
    let mut history = Vec::new();
    let mut examples = Vec::new();
    for (turn, (subject, line)) in lines.into_iter().enumerate() {
        history.push(Turn {
            speaker: Speaker::User,
            text: format!("{subject}?"),
        });
        examples.push(Example {
            id: format!("{id}:{turn}"),
            group: id.to_owned(),
            prompt: prompt(head.clone(), &history),
            completions: vec![Completion::new(format!(" {line}"), Role::Reply)],
            meta: Map::new(),
        });
        history.push(Turn {
            speaker: Speaker::Bot,
            text: line.to_owned(),
        });
    }
    examples
}
