//! Draws conversations of the guardrail world.

use std::collections::{BTreeMap, HashSet};

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use serde_json::Map;

use super::act::Act;
use super::grammar::{Attribute, Domain, Grammar, fill};
use super::rule::{Asked, Rule, RuleKind, Truth};
use crate::data::template::prompt;
use crate::data::{Completion, Example, Role, Speaker, Turn};
use crate::world::{Phrase, pick};

/// The user asks for something that a rule is about at this rate.
const TRIES_A_RULE: f64 = 0.65;
/// Of these, the user asks for no more than the limit, or has told the detail before being asked, at this
/// rate: the rule is there, but not at stake.
const RESPECTS_IT: f64 = 0.2;
/// Before a service with a rule on a detail, the user tells another detail at this rate.
const TELLS_ANOTHER: f64 = 0.15;
/// Asked for a detail, the user tells it at this rate, and else goes on to something new.
const TELLS_IT: f64 = 0.85;
/// A bot that breaks a rule does not just what was asked, but asks for another detail, gives more than the
/// limit and less than what was asked, or passes the user to another team, at this rate.
const BREAKS_OTHERWISE: f64 = 0.25;
/// A polite reply of one sentence ends with a courtesy at this rate.
const CLOSES: f64 = 0.5;
/// What the user asks where it is not something with a rule: a fact of the prompt, one that it does not
/// hold, a service, an item, a promise.
const ASKS: [u32; 5] = [6, 1, 3, 2, 2];

/// The titles of a prompt's parts.
const RULES: &str = "Rules:";
const FACTS: &str = "Facts:";
const ACCOUNT: &str = "Account:";

/// How bots of a split speak.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Rate at which the conversation goes on from the reply that breaks the rule at stake.
    pub careless: f64,
    /// Rate of replies without courtesies.
    pub blunt: f64,
    /// Rate of conversations that end with the bot reading out its rules or facts.
    pub reads_out: f64,
    /// The kinds of rules there are.
    pub kinds: Vec<RuleKind>,
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
    /// What the user says to have the rules or facts read out at the end, and what is read.
    pub reading: Option<(String, String)>,
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
        let grammar = Grammar::get();
        let domain = &grammar.words.domains[rng.random_range(0..grammar.words.domains.len())];
        let catalogue = facts(rng, &domain.catalogue, 2..=3);
        let account = facts(rng, &domain.account, 1..=2);
        let known: BTreeMap<String, String> = catalogue.iter().chain(&account).cloned().collect();
        let rules = rules(rng, domain, &known, &manner.kinds);
        let head = head(rng, domain, &rules, &catalogue, &account);
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
        let reading = rng
            .random_bool(manner.reads_out)
            .then(|| reading(rng, &head));
        Self {
            head,
            exchanges,
            reading,
        }
    }

    /// One example for each of the bot's turns, in order: the compliant reply chosen and the other rejected,
    /// or, not `paired`, what the bot says.
    pub fn examples(self, id: &str, paired: bool) -> Vec<Example> {
        let mut history = Vec::new();
        let mut examples = Vec::new();
        for (turn, exchange) in self.exchanges.into_iter().enumerate() {
            let said = exchange.said().to_owned();
            let completion = |text: &str, role| Completion {
                text: format!(" {text}"),
                role,
            };
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
        if let Some((user, bot)) = self.reading {
            history.push(Turn {
                speaker: Speaker::User,
                text: user,
            });
            examples.push(Example {
                id: format!("{id}:{}", examples.len()),
                group: id.to_owned(),
                prompt: prompt(self.head, &history),
                completions: vec![Completion {
                    text: format!(" {bot}"),
                    role: Role::Reply,
                }],
                meta: Map::new(),
            });
        }
        examples
    }
}

/// A request to read out a part of the head, and that part's sentences.
fn reading<R: Rng>(rng: &mut R, head: &str) -> (String, String) {
    let wordings = &Grammar::get().wordings.user;
    let (request, title) = if rng.random_bool(0.5) {
        (&wordings.rules, RULES)
    } else {
        (&wordings.facts, FACTS)
    };
    let lines = head.lines().skip_while(|line| *line != title).skip(1);
    let read: Vec<&str> = lines.map_while(|line| line.strip_prefix("- ")).collect();
    (Phrase::draw(rng, request).pattern.clone(), read.join(" "))
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

fn any<R: Rng>(rng: &mut R, words: &[String]) -> String {
    words[rng.random_range(0..words.len())].clone()
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
    let mut text = format!("Desk: {}\n{RULES}\n", domain.name);
    for rule in rules {
        text.push_str(&format!("- {}\n", rule.text(rng)));
    }
    for (title, facts) in [(FACTS, catalogue), (ACCOUNT, account)] {
        text.push_str(&format!("{title}\n"));
        for (topic, value) in facts {
            let phrase = Phrase::draw(rng, &Grammar::get().wordings.facts);
            text.push_str(&format!("- {}\n", fill(phrase, "the", topic, value)));
        }
    }
    text
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

fn other_detail<R: Rng>(rng: &mut R, detail: &str) -> String {
    let details = Grammar::get().words.details.iter();
    let others: Vec<String> = details
        .map(|it| it.name.clone())
        .filter(|it| it != detail)
        .collect();
    any(rng, &others)
}

fn above<R: Rng>(rng: &mut R, number: usize) -> usize {
    rng.random_range(number + 1..=Grammar::get().words.numbers.len())
}

/// The compliant reply, and one that breaks a rule and is like it otherwise: what both say is said in the
/// same words, and where one has a sentence less, a courtesy makes up for it.
fn replies<R: Rng>(
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
