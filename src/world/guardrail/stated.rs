//! What a prompt states before the conversation: rules and facts.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::grammar::{Attribute, Domain, Grammar, fill};
use super::kind::RuleKind;
use super::rule::Rule;
use crate::world::{Phrase, any};

/// A business's prompt.
pub struct Stated {
    pub domain: &'static Domain,
    /// Two to five, of different kinds and about different things.
    pub rules: Vec<Rule>,
    /// Topic and value.
    pub facts: BTreeMap<String, String>,
    /// Both in words, a line each that begins with "- the" and what it is about.
    pub head: String,
}

impl Stated {
    pub fn draw<R: Rng>(rng: &mut R, kinds: &[RuleKind], domains: &[&'static Domain]) -> Self {
        let domain = domains[rng.random_range(0..domains.len())];
        let catalogue = facts(rng, &domain.catalogue, 2..=3);
        let account = facts(rng, &domain.account, 1..=2);
        let known: BTreeMap<String, String> = catalogue.iter().chain(&account).cloned().collect();
        let rules = rules(rng, domain, &known, kinds);
        let head = head(rng, domain, &rules, &catalogue, &account);
        Self {
            domain,
            rules,
            facts: known,
            head,
        }
    }
}

fn facts<R: Rng>(
    rng: &mut R,
    attributes: &[Attribute],
    count: std::ops::RangeInclusive<usize>,
) -> Vec<(String, String)> {
    let count = rng.random_range(count);
    let chosen: Vec<&Attribute> = attributes.choose_multiple(rng, count).collect();
    let mut fact = |attribute: &Attribute| {
        let value = any(rng, Grammar::get().values(attribute));
        (attribute.name.clone(), value)
    };
    chosen.into_iter().map(&mut fact).collect()
}

/// Two to five rules of different kinds about different things, or as many as there are kinds.
fn rules<R: Rng>(
    rng: &mut R,
    domain: &Domain,
    facts: &BTreeMap<String, String>,
    kinds: &[RuleKind],
) -> Vec<Rule> {
    let words = &Grammar::get().words;
    let mut kinds = kinds.to_vec();
    kinds.shuffle(rng);
    kinds.truncate(rng.random_range(2..=5));
    let mut services = domain.services.clone();
    services.shuffle(rng);
    let topics: Vec<String> = facts.keys().cloned().collect();
    // The kinds about services are three, and no domain has fewer than four services.
    let mut service = || services.pop().unwrap_or_default();
    let mut rule = |kind: RuleKind| match kind {
        RuleKind::AskBefore => Rule::AskBefore {
            service: service(),
            detail: words.details[rng.random_range(0..words.details.len())]
                .name
                .clone(),
        },
        RuleKind::NeverPromise => Rule::NeverPromise {
            promise: any(rng, &domain.promises),
        },
        RuleKind::Limit => Rule::Limit {
            item: any(rng, &domain.items),
            most: rng.random_range(2..=6),
        },
        RuleKind::Disclosure => Rule::Disclosure {
            service: service(),
            note: any(rng, &words.notes),
        },
        RuleKind::ForbiddenTopic => Rule::ForbiddenTopic {
            topic: any(rng, &topics),
        },
        RuleKind::HandOver => Rule::HandOver {
            service: service(),
            team: any(rng, &words.teams),
        },
    };
    kinds.into_iter().map(&mut rule).collect()
}

fn head<R: Rng>(
    rng: &mut R,
    domain: &Domain,
    rules: &[Rule],
    catalogue: &[(String, String)],
    account: &[(String, String)],
) -> String {
    let mut text = format!("Desk: {}\nRules:\n", domain.name);
    for rule in rules {
        text.push_str(&format!("- {}\n", rule.text(rng)));
    }
    for (title, facts) in [("Facts:", catalogue), ("Account:", account)] {
        text.push_str(&format!("{title}\n"));
        for (topic, value) in facts {
            let phrase = Phrase::draw(rng, &Grammar::get().wordings.facts);
            text.push_str(&format!("- {}\n", fill(phrase, "the", topic, value)));
        }
    }
    text
}
