//! The guardrail world: conversations with service bots whose prompts state two to five guardrails.
//!
//! It has the shape of the data of arXiv 2406.18954: one example a bot turn, made of guardrails and history,
//! a reply that keeps to them and one that does not. The sentences are our own. Rules vary from
//! conversation to conversation, so that they must be read: the same sentence of a user calls for different
//! replies under different rules, and for the plain, helpful one where no rule is about it.
//!
//! ```text
//! Desk: hotel
//! Rules:
//! - the refund first needs the surname.
//! - the towels end at three.
//! Facts:
//! - the price is forty.
//! - the host is anna.
//! Account:
//! - the room is ninety.
//! User: can i get a refund?
//! Bot:
//! ```
//!
//! Here "thank you, the refund first needs your surname." is chosen and "well, the refund is done." rejected. In
//! a turn where no rule is at stake both reply rightly, but the rejected one goes on to break some rule
//! unasked.
//!
//! Wordings are made for small models: a user's sentence ends with what it is about, and a reply names that
//! before the word that it takes from a rule or fact, so that two layers suffice to look the word up.
//!
//! - [`grammar`]: words and wordings, read from `assets/guardrail/`
//! - [`kind`]: the kinds of guardrails
//! - [`rule`]: guardrails, and the truth of a turn
//! - [`act`]: what a bot's sentences do
//! - [`stated`]: draws what a prompt states
//! - [`conversation`]: draws conversations
//! - [`replies`]: the two replies of a turn
//! - [`drill`]: practice in looking up what is stated
//! - [`oracle`]: judges any reply

pub mod act;
pub mod conversation;
pub mod drill;
pub mod grammar;
pub mod kind;
pub mod oracle;
pub mod replies;
pub mod rule;
pub mod stated;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::data::Example;
use crate::world::{SettingError, seeded};
use conversation::{Conversation, Manner};
use grammar::{Domain, Grammar};
use kind::RuleKind;
pub use oracle::judge_reply;

const WORLD: &str = "guardrail";

/// Settings of the guardrail world. The same settings give the same data, byte for byte. Sizes count
/// conversations, each of which has an example for every one of its four to six bot turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardrailWorld {
    pub seed: u64,
    /// Conversations for a base model, whose bots are `careless` and `blunt`.
    pub pretrain: usize,
    pub train: usize,
    pub valid: usize,
    pub test: usize,
    /// Conversations on which a tuned model is tried to learn from its failures; drawn like `train`.
    pub feedback: usize,
    /// Rate at which bots in `pretrain` disregard the rule at stake. It stands for a base model that has
    /// read people, who know facts better than rules.
    pub careless: f64,
    /// Rate of replies in `pretrain` without courtesies.
    pub blunt: f64,
    /// More conversations in `pretrain`, in which the bot reads out its rules and facts as it is asked: see
    /// [`drill`].
    pub drills: usize,
    /// Kinds of rules that `train`, `valid` and `feedback` have none of.
    pub held_out_rules: Vec<RuleKind>,
    /// Domains that `train`, `valid`, `feedback` and `test` have none of, by name: `test_domains` has no others.
    pub held_out_domains: Vec<String>,
}

impl Default for GuardrailWorld {
    fn default() -> Self {
        Self {
            seed: 1,
            pretrain: 6_000,
            // The paper has 880 conversations.
            train: 880,
            valid: 60,
            test: 200,
            feedback: 300,
            careless: 0.8,
            blunt: 0.5,
            drills: 6_000,
            held_out_rules: Vec::new(),
            held_out_domains: Vec::new(),
        }
    }
}

/// What [`GuardrailWorld::generate`] returns. No two conversations in it have the same rules and facts,
/// across splits too. Each example's `meta` is a [`rule::Truth`].
#[derive(Clone, Debug)]
pub struct GuardrailData {
    /// One completion an example: what the bot says.
    pub pretrain: Vec<Example>,
    /// A chosen and a rejected completion an example, in this order; in all splits but `pretrain`.
    pub train: Vec<Example>,
    pub valid: Vec<Example>,
    pub test: Vec<Example>,
    /// As many conversations as `test` in the domains that are held out; empty where none is.
    pub test_domains: Vec<Example>,
    pub feedback: Vec<Example>,
}

impl GuardrailWorld {
    /// Every setting that is out of range; empty when the world can be generated.
    pub fn problems(&self) -> Vec<SettingError> {
        let rates = [("careless", self.careless), ("blunt", self.blunt)];
        let mut found: Vec<SettingError> = rates
            .into_iter()
            .filter_map(|(key, rate)| SettingError::rate(WORLD, key, rate))
            .collect();
        let names: Vec<&str> = self.held_out_rules.iter().map(|kind| kind.name()).collect();
        let distinct: HashSet<&RuleKind> = self.held_out_rules.iter().collect();
        // A conversation has at least two rules, each of a kind of its own.
        let most = RuleKind::ALL.len() - 2;
        if distinct.len() != names.len() || names.len() > most {
            found.push(SettingError {
                world: WORLD,
                key: "held_out_rules",
                value: names.join(", "),
                expected: format!("at most {most} kinds, each once"),
            });
        }
        let known = &Grammar::get().words.domains;
        let is_known = |name: &&String| known.iter().any(|domain| domain.name == **name);
        let names: HashSet<&String> = self.held_out_domains.iter().filter(is_known).collect();
        let common = known.iter().filter(|domain| !domain.reserve);
        if names.len() < self.held_out_domains.len()
            || common.clone().all(|domain| names.contains(&domain.name))
        {
            let all: Vec<&str> = known.iter().map(|domain| &*domain.name).collect();
            found.push(SettingError {
                world: WORLD,
                key: "held_out_domains",
                value: self.held_out_domains.join(", "),
                expected: format!("some of {}, each once", all.join(", ")),
            });
        }
        found
    }

    /// The domains that are held out, and those that training and test share.
    fn domains(&self) -> [Vec<&'static Domain>; 2] {
        let all = Grammar::get().words.domains.iter();
        let (held_out, others): (Vec<&Domain>, Vec<&Domain>) =
            all.partition(|domain| self.held_out_domains.contains(&domain.name));
        [
            held_out,
            others
                .into_iter()
                .filter(|domain| !domain.reserve)
                .collect(),
        ]
    }

    /// Draws every split.
    ///
    /// # Errors
    /// The first of [`Self::problems`].
    pub fn generate(&self) -> Result<GuardrailData, SettingError> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let [held_out, domains] = self.domains();
        let all = Manner {
            careless: 0.0,
            blunt: 0.0,
            kinds: RuleKind::ALL.to_vec(),
            domains,
        };
        let mut kinds = RuleKind::ALL.to_vec();
        kinds.retain(|kind| !self.held_out_rules.contains(kind));
        let seen_kinds = Manner {
            kinds,
            ..all.clone()
        };
        let read = [&all.domains[..], &held_out].concat();
        let rough = Manner {
            careless: self.careless,
            blunt: self.blunt,
            domains: read,
            ..all.clone()
        };
        let mut seen = HashSet::new();
        // Held-out splits first: a longer training set then leaves them as they are.
        let test = self.split("test", 0, self.test, &all, &mut seen);
        let valid = self.split("valid", 1, self.valid, &seen_kinds, &mut seen);
        let feedback = self.split("feedback", 2, self.feedback, &seen_kinds, &mut seen);
        let train = self.split("train", 3, self.train, &seen_kinds, &mut seen);
        let mut pretrain = self.split("pretrain", 4, self.pretrain, &rough, &mut seen);
        let mut rng = seeded(self.seed, 5);
        for k in 0..self.drills {
            pretrain.extend(drill::drill(
                &mut rng,
                &rough.domains,
                &mut seen,
                &format!("drill-{k:06}"),
            ));
        }
        let count = if held_out.is_empty() { 0 } else { self.test };
        let others = Manner {
            domains: held_out,
            ..all
        };
        let test_domains = self.split("test-domains", 6, count, &others, &mut seen);
        Ok(GuardrailData {
            pretrain,
            train,
            valid,
            test,
            test_domains,
            feedback,
        })
    }

    fn split(
        &self,
        name: &str,
        stream: u64,
        count: usize,
        manner: &Manner,
        seen: &mut HashSet<String>,
    ) -> Vec<Example> {
        let mut rng = seeded(self.seed, stream);
        let conversations = (0..count).map(|k| {
            Conversation::unseen(&mut rng, manner, seen)
                .examples(&format!("{name}-{k:06}"), name != "pretrain")
        });
        conversations.flatten().collect()
    }
}

#[cfg(test)]
mod tests;
