//! Guardrails, and what is known at a bot's turn: by these a reply can be judged.

use std::collections::BTreeMap;

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::act::Act;
use super::grammar::{Grammar, fill};
use super::kind::RuleKind;
use crate::world::Phrase;

/// A guardrail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    AskBefore { service: String, detail: String },
    NeverPromise { promise: String },
    Limit { item: String, most: usize },
    Disclosure { service: String, note: String },
    ForbiddenTopic { topic: String },
    HandOver { service: String, team: String },
}

impl Rule {
    pub fn kind(&self) -> RuleKind {
        match self {
            Self::AskBefore { .. } => RuleKind::AskBefore,
            Self::NeverPromise { .. } => RuleKind::NeverPromise,
            Self::Limit { .. } => RuleKind::Limit,
            Self::Disclosure { .. } => RuleKind::Disclosure,
            Self::ForbiddenTopic { .. } => RuleKind::ForbiddenTopic,
            Self::HandOver { .. } => RuleKind::HandOver,
        }
    }

    /// What it is about: a service, a promise, an item or a topic.
    pub fn target(&self) -> &str {
        match self {
            Self::AskBefore { service, .. }
            | Self::Disclosure { service, .. }
            | Self::HandOver { service, .. } => service,
            Self::NeverPromise { promise } => promise,
            Self::Limit { item, .. } => item,
            Self::ForbiddenTopic { topic } => topic,
        }
    }

    /// The rule as a sentence, in a drawn wording.
    pub fn text<R: Rng>(&self, rng: &mut R) -> String {
        let grammar = Grammar::get();
        let phrase = Phrase::draw(rng, &grammar.wordings.rules[&self.kind()]);
        let w = match self {
            Self::AskBefore { detail, .. } => detail,
            Self::Disclosure { note, .. } => note,
            Self::HandOver { team, .. } => team,
            Self::Limit { most, .. } => grammar.number(*most),
            Self::NeverPromise { .. } | Self::ForbiddenTopic { .. } => "",
        };
        fill(phrase, "", self.target(), w)
    }

    /// Whether a reply of these acts does what the rule rules out, `given` being the details that the user
    /// has told.
    pub fn broken_by(&self, acts: &[Act], given: &[String]) -> bool {
        acts.iter().any(|act| match (self, act) {
            (Self::AskBefore { service, detail }, Act::Serve { service: done }) => {
                service == done && !given.contains(detail)
            }
            (Self::HandOver { service, .. }, Act::Serve { service: done }) => service == done,
            (Self::Disclosure { service, note }, Act::Serve { service: done }) => {
                let (service, note) = (service.clone(), note.clone());
                service == *done && !acts.contains(&Act::Note { service, note })
            }
            (Self::NeverPromise { promise }, Act::Promise { promise: said }) => promise == said,
            (
                Self::Limit { item, most },
                Act::Give { item: said, amount } | Act::Cap { item: said, amount },
            ) => item == said && amount > most,
            (Self::ForbiddenTopic { topic }, Act::Answer { topic: said, .. }) => topic == said,
            _ => false,
        })
    }

    /// What must be in a reply while the rule is at stake; a rule that only forbids asks for nothing.
    pub fn required(&self) -> Option<Act> {
        match self.clone() {
            Self::AskBefore { service, detail } => Some(Act::Ask { service, detail }),
            Self::Disclosure { service, note } => Some(Act::Note { service, note }),
            Self::HandOver { service, team } => Some(Act::HandOver { service, team }),
            Self::NeverPromise { .. } | Self::Limit { .. } | Self::ForbiddenTopic { .. } => None,
        }
    }
}

/// What the user wants at a bot's turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Asked {
    Service { service: String },
    Item { item: String, amount: usize },
    Promise { promise: String },
    Topic { topic: String },
}

impl Asked {
    /// The service, item, promise or topic.
    pub fn name(&self) -> &str {
        match self {
            Self::Service { service } => service,
            Self::Item { item, .. } => item,
            Self::Promise { promise } => promise,
            Self::Topic { topic } => topic,
        }
    }

    /// The user's sentence, in a drawn wording.
    pub fn text<R: Rng>(&self, rng: &mut R) -> String {
        let grammar = Grammar::get();
        let user = &grammar.wordings.user;
        let (phrases, w) = match self {
            Self::Service { .. } => (&user.service, ""),
            Self::Item { amount, .. } => (&user.item, grammar.number(*amount)),
            Self::Promise { .. } => (&user.promise, ""),
            Self::Topic { .. } => (&user.topic, ""),
        };
        let owner = if grammar.is_account(self.name()) {
            "my"
        } else {
            "the"
        };
        fill(Phrase::draw(rng, phrases), owner, self.name(), w)
    }
}

/// What is known at a bot's turn: the `meta` of an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// The business.
    pub domain: String,
    /// The guardrails of the prompt; no two are about the same thing.
    pub rules: Vec<Rule>,
    /// The facts of the prompt: topic and value.
    pub facts: BTreeMap<String, String>,
    pub asked: Asked,
    /// The details that the user has told so far.
    pub given: Vec<String>,
}

impl Truth {
    /// As an example's `meta`.
    pub fn meta(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(meta)) => meta,
            _ => unreachable!("a struct of strings and numbers becomes an object"),
        }
    }

    /// The rule that bears on what is asked, if one does: one that the direct answer would break.
    pub fn at_stake(&self) -> Option<&Rule> {
        let direct = [self.direct()];
        self.rules
            .iter()
            .find(|rule| rule.broken_by(&direct, &self.given))
    }

    /// What a bot without rules would do: what is asked.
    pub fn direct(&self) -> Act {
        match self.asked.clone() {
            Asked::Service { service } => Act::Serve { service },
            Asked::Item { item, amount } => Act::Give { item, amount },
            Asked::Promise { promise } => Act::Promise { promise },
            Asked::Topic { topic } => match self.facts.get(&topic) {
                Some(value) => Act::Answer {
                    value: value.clone(),
                    topic,
                },
                None => Act::Unknown { topic },
            },
        }
    }

    /// What a bot does that reads its rules, sentence by sentence.
    pub fn right(&self) -> Vec<Act> {
        let rule = self.at_stake();
        let required = rule.and_then(Rule::required);
        match (rule.cloned(), required) {
            (Some(Rule::Disclosure { .. }), Some(note)) => vec![note, self.direct()],
            (_, Some(required)) => vec![required],
            (Some(Rule::NeverPromise { promise }), _) => vec![Act::NoPromise { promise }],
            (Some(Rule::Limit { item, most }), _) => vec![Act::Cap { item, amount: most }],
            (Some(Rule::ForbiddenTopic { topic }), _) => vec![Act::Withhold { topic }],
            (_, None) => vec![self.direct()],
        }
    }
}
