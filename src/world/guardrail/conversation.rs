//! Draws conversations of the guardrail world.

use std::collections::{BTreeMap, HashSet};

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::grammar::{Domain, Grammar, fill};
use super::kind::RuleKind;
use super::replies::{above, other_detail, replies};
use super::rule::{Asked, Rule, Truth};
use super::stated::Stated;
use crate::data::template::prompt;
use crate::data::{Completion, Example, Role, Speaker, Turn};
use crate::world::{Phrase, any, pick};

/// The user asks for something that a rule is about at this rate.
const TRIES_A_RULE: f64 = 0.65;
/// Of these, the user asks for no more than the limit, or has told the detail before being asked, at this
/// rate: the rule is there, but not at stake.
const RESPECTS_IT: f64 = 0.2;
/// Before a service with a rule on a detail, the user tells another detail at this rate.
const TELLS_ANOTHER: f64 = 0.15;
/// Asked for a detail, the user tells it at this rate, and else goes on to something new.
const TELLS_IT: f64 = 0.85;
/// What the user asks where it is not something with a rule: a fact of the prompt, one that it does not
/// hold, a service, an item, a promise.
const ASKS: [u32; 5] = [6, 1, 3, 2, 2];

/// How bots of a split speak.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Rate at which the conversation goes on from the reply that breaks the rule at stake.
    pub careless: f64,
    /// Rate of replies without courtesies.
    pub blunt: f64,
    /// The kinds of rules there are.
    pub kinds: Vec<RuleKind>,
    /// The businesses there are.
    pub domains: Vec<&'static Domain>,
}

/// A turn of the user and what the bot may reply.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub user: String,
    pub truth: Truth,
    /// The reply of a bot that reads its rules.
    pub compliant: String,
    /// As good otherwise, but it breaks a rule.
    pub non_compliant: String,
    /// The conversation goes on from the second.
    pub careless: bool,
}

impl Exchange {
    /// What the bot says in the conversation.
    pub fn said(&self) -> &str {
        if self.careless {
            &self.non_compliant
        } else {
            &self.compliant
        }
    }
}

/// A conversation: the prompt's rules and facts, and four to six exchanges.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub head: String,
    pub exchanges: Vec<Exchange>,
}

impl Conversation {
    /// Draws until a rule is at stake in some turn, one can be broken in every turn, and the head is not in
    /// `seen`, and adds it there.
    pub fn unseen<R: Rng>(rng: &mut R, manner: &Manner, seen: &mut HashSet<String>) -> Self {
        loop {
            let drawn = Self::draw(rng, manner);
            let exchanges = &drawn.exchanges;
            let at_stake = exchanges.iter().any(|it| it.truth.at_stake().is_some());
            let breakable = exchanges.iter().all(|it| it.compliant != it.non_compliant);
            if at_stake && breakable && seen.insert(drawn.head.clone()) {
                return drawn;
            }
        }
    }

    fn draw<R: Rng>(rng: &mut R, manner: &Manner) -> Self {
        let Stated {
            domain,
            rules,
            facts: known,
            head,
        } = Stated::draw(rng, &manner.kinds, &manner.domains);
        let mut untried = rules.clone();
        untried.shuffle(rng);
        let mut user = User {
            domain,
            rules: &rules,
            facts: &known,
            untried,
            asked: HashSet::new(),
            given: Vec::new(),
            pending: None,
        };
        let exchanges = (0..rng.random_range(4..=6)).map(|_| {
            let (text, asked) = user.turn(rng);
            let truth = Truth {
                domain: domain.name.clone(),
                rules: rules.clone(),
                facts: known.clone(),
                asked,
                given: user.given.clone(),
            };
            let polite = !rng.random_bool(manner.blunt);
            let (compliant, non_compliant) = replies(rng, &truth, &user.asked, polite);
            let careless = truth.at_stake().is_some() && rng.random_bool(manner.careless);
            if let (false, Some(Rule::AskBefore { service, detail })) = (careless, truth.at_stake())
            {
                user.pending = Some((service.clone(), detail.clone()));
            }
            Exchange {
                user: text,
                truth,
                compliant,
                non_compliant,
                careless,
            }
        });
        let exchanges = exchanges.collect();
        Self { head, exchanges }
    }

    /// One example for each of the bot's turns, in order: the compliant reply chosen and the other rejected,
    /// or, not `paired`, what the bot says.
    pub fn examples(self, id: &str, paired: bool) -> Vec<Example> {
        let mut history = Vec::new();
        let mut examples = Vec::new();
        for (turn, exchange) in self.exchanges.into_iter().enumerate() {
            let said = exchange.said().to_owned();
            let completion = |text: &str, role| Completion::new(format!(" {text}"), role);
            let completions = if paired {
                vec![
                    completion(&exchange.compliant, Role::Chosen),
                    completion(&exchange.non_compliant, Role::Rejected),
                ]
            } else {
                vec![completion(&said, Role::Reply)]
            };
            history.push(Turn {
                speaker: Speaker::User,
                text: exchange.user,
            });
            examples.push(Example {
                id: format!("{id}:{turn}"),
                group: id.to_owned(),
                prompt: prompt(self.head.clone(), &history),
                completions,
                meta: exchange.truth.meta(),
            });
            history.push(Turn {
                speaker: Speaker::Bot,
                text: said,
            });
        }
        examples
    }
}

/// What the user has said and has yet to say.
struct User<'a> {
    domain: &'a Domain,
    rules: &'a [Rule],
    facts: &'a BTreeMap<String, String>,
    /// Rules that nothing was asked about.
    untried: Vec<Rule>,
    asked: HashSet<String>,
    given: Vec<String>,
    /// The service that waits for a detail which the bot has asked for.
    pending: Option<(String, String)>,
}

impl User<'_> {
    fn turn<R: Rng>(&mut self, rng: &mut R) -> (String, Asked) {
        if let Some((service, detail)) = self.pending.take()
            && rng.random_bool(TELLS_IT)
        {
            return (self.tell(rng, detail), Asked::Service { service });
        }
        let tried = if rng.random_bool(TRIES_A_RULE) {
            self.untried.pop()
        } else {
            None
        };
        let (told, asked) = match tried {
            Some(rule) => self.try_rule(rng, rule),
            None => (None, self.plain(rng)),
        };
        self.asked.insert(asked.name().to_owned());
        let text = asked.text(rng);
        let told = told.map(|detail| self.tell(rng, detail));
        let sentences: Vec<String> = told.into_iter().chain([text]).collect();
        (sentences.join(" "), asked)
    }

    fn tell<R: Rng>(&mut self, rng: &mut R, detail: String) -> String {
        let grammar = Grammar::get();
        let phrase = Phrase::draw(rng, &grammar.wordings.user.detail);
        let known = grammar.words.details.iter().find(|it| it.name == detail);
        let value = known.map_or_else(String::new, |it| any(rng, grammar.values(it)));
        let text = fill(phrase, "", &detail, &value);
        self.given.push(detail);
        text
    }

    /// Asks for what a rule is about; also a detail to tell first.
    fn try_rule<R: Rng>(&mut self, rng: &mut R, rule: Rule) -> (Option<String>, Asked) {
        match rule {
            Rule::AskBefore { service, detail } => {
                let told = if rng.random_bool(RESPECTS_IT) {
                    Some(detail)
                } else if rng.random_bool(TELLS_ANOTHER) {
                    Some(other_detail(rng, &detail))
                } else {
                    None
                };
                (told, Asked::Service { service })
            }
            Rule::Disclosure { service, .. } | Rule::HandOver { service, .. } => {
                (None, Asked::Service { service })
            }
            Rule::NeverPromise { promise } => (None, Asked::Promise { promise }),
            Rule::ForbiddenTopic { topic } => (None, Asked::Topic { topic }),
            Rule::Limit { item, most } => {
                let amount = if rng.random_bool(RESPECTS_IT) {
                    rng.random_range(2..=most)
                } else {
                    above(rng, most)
                };
                (None, Asked::Item { item, amount })
            }
        }
    }

    /// Asks for something that no rule is about and that was not asked for before.
    fn plain<R: Rng>(&self, rng: &mut R) -> Asked {
        let fresh = |word: &&String| {
            let ruled = self.rules.iter().any(|rule| rule.target() == word.as_str());
            !ruled && !self.asked.contains(*word)
        };
        let domain = self.domain;
        let attributes = domain.catalogue.iter().chain(&domain.account);
        let (known, unknown): (Vec<&String>, Vec<&String>) = attributes
            .map(|it| &it.name)
            .filter(fresh)
            .partition(|topic| self.facts.contains_key(*topic));
        let options: [Vec<&String>; 5] = [
            known,
            unknown,
            domain.services.iter().filter(fresh).collect(),
            domain.items.iter().filter(fresh).collect(),
            domain.promises.iter().filter(fresh).collect(),
        ];
        // A domain has more to ask about than a conversation has turns.
        let weights = options
            .iter()
            .zip(ASKS)
            .map(|(words, weight)| if words.is_empty() { 0 } else { weight });
        let option = pick(rng, weights);
        let word = options[option]
            .choose(rng)
            .map_or_else(String::new, |word| (*word).clone());
        match option {
            0 | 1 => Asked::Topic { topic: word },
            2 => Asked::Service { service: word },
            3 => Asked::Item {
                item: word,
                amount: above(rng, 1),
            },
            _ => Asked::Promise { promise: word },
        }
    }
}
