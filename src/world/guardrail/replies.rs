//! The two replies of a turn: one that keeps to the rules, and one that does not.

use std::collections::HashSet;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::act::Act;
use super::grammar::Grammar;
use super::rule::{Asked, Rule, Truth};
use crate::world::any;

/// A bot that breaks a rule does not just what was asked, but asks for another detail, gives more than the
/// limit and less than what was asked, or passes the user to another team, at this rate.
const BREAKS_OTHERWISE: f64 = 0.25;
/// A polite reply of one sentence ends with a courtesy at this rate.
const CLOSES: f64 = 0.5;
/// The compliant reply, and one that breaks a rule and is like it otherwise: what both say is said in the
/// same words, and where one has a sentence less, a courtesy makes up for it.
pub fn replies<R: Rng>(
    rng: &mut R,
    truth: &Truth,
    asked: &HashSet<String>,
    polite: bool,
) -> (String, String) {
    let right = truth.right();
    let wrong = match truth.at_stake() {
        Some(rule) => vec![wrong(rng, truth, rule)],
        None => right
            .iter()
            .cloned()
            .chain(breach(rng, truth, asked))
            .collect(),
    };
    let mut say = |acts: &[Act], opening: Option<&String>| {
        let mut sentences = Vec::new();
        for (k, act) in acts.iter().enumerate() {
            sentences.push(match (k, opening) {
                (0, Some(opening)) => opening.clone(),
                (0, None) if polite => act.say_politely(rng),
                _ => act.say(rng),
            });
        }
        sentences
    };
    let mut compliant = say(&right, None);
    let same = right[0] == wrong[0];
    let mut non_compliant = say(&wrong, same.then_some(&compliant[0]));
    let longest = right.len().max(wrong.len());
    if polite && (longest > 1 || rng.random_bool(CLOSES)) {
        let closing = Act::Closing.say(rng);
        for reply in [&mut compliant, &mut non_compliant] {
            if reply.len() < longest.max(2) {
                reply.push(closing.clone());
            }
        }
    }
    (compliant.join(" "), non_compliant.join(" "))
}

/// What a bot does that disregards the rule at stake.
fn wrong<R: Rng>(rng: &mut R, truth: &Truth, rule: &Rule) -> Act {
    if rng.random_bool(BREAKS_OTHERWISE) {
        match (rule, &truth.asked) {
            (Rule::AskBefore { service, detail }, _) => {
                let service = service.clone();
                let detail = other_detail(rng, detail);
                if !truth.given.contains(&detail) {
                    return Act::Ask { service, detail };
                }
            }
            (Rule::HandOver { service, team }, _) => {
                let teams = Grammar::get().words.teams.iter();
                let others: Vec<String> = teams.filter(|it| *it != team).cloned().collect();
                return Act::HandOver {
                    service: service.clone(),
                    team: any(rng, &others),
                };
            }
            (Rule::Limit { item, most }, Asked::Item { amount, .. }) => {
                return Act::Give {
                    item: item.clone(),
                    amount: rng.random_range(most + 1..=*amount),
                };
            }
            _ => {}
        }
    }
    truth.direct()
}

/// Breaks some rule unasked; nothing where none can be broken any more. What was `asked` for may be done
/// already, which the bot does not say again.
fn breach<R: Rng>(rng: &mut R, truth: &Truth, asked: &HashSet<String>) -> Option<Act> {
    let mut breaches = Vec::new();
    for rule in &truth.rules {
        let act = match rule.clone() {
            Rule::Disclosure { service, .. } if asked.contains(&service) => continue,
            Rule::AskBefore { service, .. }
            | Rule::Disclosure { service, .. }
            | Rule::HandOver { service, .. } => Act::Serve { service },
            Rule::NeverPromise { promise } => Act::Promise { promise },
            Rule::Limit { item, most } => Act::Give {
                item,
                amount: above(rng, most),
            },
            Rule::ForbiddenTopic { topic } => match truth.facts.get(&topic) {
                Some(value) => Act::Answer {
                    value: value.clone(),
                    topic,
                },
                None => continue,
            },
        };
        // A detail that was told lets its service be done.
        if rule.broken_by(std::slice::from_ref(&act), &truth.given) {
            breaches.push(act);
        }
    }
    breaches.choose(rng).cloned()
}

pub fn other_detail<R: Rng>(rng: &mut R, detail: &str) -> String {
    let details = Grammar::get().words.details.iter();
    let others: Vec<String> = details
        .map(|it| it.name.clone())
        .filter(|it| it != detail)
        .collect();
    any(rng, &others)
}

pub fn above<R: Rng>(rng: &mut R, number: usize) -> usize {
    rng.random_range(number + 1..=Grammar::get().words.numbers.len())
}
