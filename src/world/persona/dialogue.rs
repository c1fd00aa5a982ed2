//! Draws dialogues of the persona world.

use std::collections::HashSet;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom, index};
use serde_json::{Map, Value, json};

use super::families::Grammar;
use crate::data::{Dialogue, Speaker, Turn};
use crate::world::pick;

/// A dialogue opens with small talk at this rate, as most PersonaChat dialogues open with a greeting.
const OPENS_WITH_SMALL_TALK: f64 = 0.6;
/// A later exchange is small talk at this rate.
const LATER_SMALL_TALK: f64 = 0.15;
/// The user comments on the last reply at this rate before going on.
const USER_REACTS: f64 = 0.5;

/// How bots of a split speak.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Rate of answers with another value than the persona's.
    pub ungrounded: f64,
    /// How unevenly those other values are drawn: the family's value number k has weight `k^-popularity`.
    pub popularity: f64,
    /// Rate of answers in the wording of the persona sentence.
    pub reuse: f64,
}

/// One persona sentence: indices into the grammar's families, the family's values and statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    pub family: usize,
    pub value: usize,
    pub statement: usize,
}

impl Fact {
    pub fn text(&self) -> String {
        let family = &Grammar::get().families[self.family];
        family.statements[self.statement].with(&family.values[self.value])
    }
}

/// The wording of an answer: indices into `Family::wordings` and `Grammar::tails`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    pub wording: usize,
    pub tail: usize,
}

impl Form {
    /// Draws the wording of an answer by a bot that holds `fact`.
    pub fn draw<R: Rng>(rng: &mut R, fact: &Fact, reuse: f64) -> Self {
        let grammar = Grammar::get();
        let wording = if rng.random_bool(reuse) {
            fact.statement
        } else {
            pick(
                rng,
                grammar.families[fact.family].wordings().map(|p| p.weight),
            )
        };
        Self {
            wording,
            tail: pick(rng, grammar.tails.iter().map(|t| t.weight)),
        }
    }

    /// The answer that names value `value` of family `family`.
    pub fn text(&self, family: usize, value: usize) -> String {
        let grammar = Grammar::get();
        let family = &grammar.families[family];
        let wordings = family.statements.len();
        let phrase = match self.wording.checked_sub(wordings) {
            None => &family.statements[self.wording],
            Some(answer) => &family.answers[answer],
        };
        join(&[
            &phrase.with(&family.values[value]),
            &grammar.tails[self.tail].text,
        ])
    }
}

/// What a bot turn replies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Small talk on a topic of the grammar.
    SmallTalk { topic: usize },
    /// The answer to a question about `fact`, naming `value`.
    Answer {
        fact: Fact,
        value: usize,
        form: Form,
    },
}

/// A dialogue with its truth.
#[derive(Clone, Debug)]
pub struct Draft {
    pub facts: Vec<Fact>,
    /// User and bot in turn; the user begins, the bot ends.
    pub turns: Vec<Turn>,
    /// One per bot turn.
    pub replies: Vec<Reply>,
}

impl Draft {
    /// Draws a dialogue: a persona of 3-4 facts, 3-5 exchanges, at least one persona question, no family asked
    /// twice.
    pub fn draw<R: Rng>(rng: &mut R, manner: &Manner) -> Self {
        let facts = persona(rng);
        let mut unasked = facts.clone();
        unasked.shuffle(rng);
        let mut topics: Vec<usize> = (1..Grammar::get().topics.len()).collect();
        topics.shuffle(rng);
        let exchanges = rng.random_range(3..=5);
        let mut draft = Self {
            facts,
            turns: Vec::new(),
            replies: Vec::new(),
        };
        for k in 0..exchanges {
            let rate = if k == 0 {
                OPENS_WITH_SMALL_TALK
            } else {
                LATER_SMALL_TALK
            };
            let must_ask = k + 1 == exchanges && draft.asked() == 0;
            if unasked.is_empty() || (!must_ask && rng.random_bool(rate)) {
                // Greetings (topic 0) belong at the start, where they are the most usual small talk.
                let greets = k == 0 && rng.random_bool(0.6);
                let topic = if greets { 0 } else { topics.pop().unwrap_or(0) };
                draft.small_talk(rng, topic);
            } else if let Some(fact) = unasked.pop() {
                draft.question(rng, fact, manner);
            }
        }
        draft
    }

    /// Draws until the dialogue's text is not in `seen`, and adds it there.
    pub fn unseen<R: Rng>(rng: &mut R, manner: &Manner, seen: &mut HashSet<String>) -> Self {
        loop {
            let draft = Self::draw(rng, manner);
            let turns = draft.turns.iter().map(|t| t.text.clone());
            let text: Vec<_> = draft.persona().into_iter().chain(turns).collect();
            if seen.insert(text.join("\n")) {
                return draft;
            }
        }
    }

    pub fn persona(&self) -> Vec<String> {
        self.facts.iter().map(Fact::text).collect()
    }

    /// The record, with `meta.replies`: for each bot turn null (small talk) or `{family, value, persona_value}`.
    pub fn dialogue(self, id: &str) -> Dialogue {
        let replies = self.replies.iter().map(|reply| match reply {
            Reply::SmallTalk { .. } => Value::Null,
            Reply::Answer { fact, value, .. } => {
                let family = &Grammar::get().families[fact.family];
                json!({
                    "family": family.name,
                    "value": family.values[*value],
                    "persona_value": family.values[fact.value],
                })
            }
        });
        let mut meta = Map::new();
        meta.insert("replies".into(), replies.collect());
        Dialogue {
            id: id.to_owned(),
            persona: self.persona(),
            turns: self.turns,
            meta,
        }
    }

    fn asked(&self) -> usize {
        self.replies
            .iter()
            .filter(|r| matches!(r, Reply::Answer { .. }))
            .count()
    }

    fn small_talk<R: Rng>(&mut self, rng: &mut R, topic: usize) {
        let talk = &Grammar::get().topics[topic];
        let prompt = &talk.prompts[pick(rng, talk.prompts.iter().map(|p| p.weight))];
        let reply = &talk.replies[pick(rng, talk.replies.iter().map(|p| p.weight))];
        self.exchange(
            rng,
            &prompt.pattern,
            reply.pattern.clone(),
            Reply::SmallTalk { topic },
        );
    }

    fn question<R: Rng>(&mut self, rng: &mut R, fact: Fact, manner: &Manner) {
        let family = &Grammar::get().families[fact.family];
        let question = &family.questions[pick(rng, family.questions.iter().map(|p| p.weight))];
        let mut value = fact.value;
        if rng.random_bool(manner.ungrounded) {
            let weights = (0..family.values.len()).map(|other| {
                let weight = 1e6 * ((other + 1) as f64).powf(-manner.popularity);
                if other == fact.value {
                    0
                } else {
                    weight as u32
                }
            });
            value = pick(rng, weights);
        }
        let form = Form::draw(rng, &fact, manner.reuse);
        let reply = form.text(fact.family, value);
        self.exchange(
            rng,
            &question.pattern,
            reply,
            Reply::Answer { fact, value, form },
        );
    }

    fn exchange<R: Rng>(&mut self, rng: &mut R, prompt: &str, reply: String, truth: Reply) {
        let reaction = self.reaction(rng);
        let turn = |speaker, text| Turn { speaker, text };
        self.turns
            .push(turn(Speaker::User, join(&[reaction, prompt])));
        self.turns.push(turn(Speaker::Bot, reply));
        self.replies.push(truth);
    }

    /// What the user says of the last reply: an answer if asked back, else a comment or nothing.
    fn reaction<R: Rng>(&self, rng: &mut R) -> &'static str {
        let grammar = Grammar::get();
        let options = match self.replies.last() {
            None => return "",
            Some(Reply::Answer { fact, form, .. }) if grammar.tails[form.tail].asks => {
                &grammar.families[fact.family].returns
            }
            Some(_) if !rng.random_bool(USER_REACTS) => return "",
            Some(Reply::Answer { fact, .. }) => &grammar.families[fact.family].reactions,
            Some(Reply::SmallTalk { topic }) => &grammar.topics[*topic].reactions,
        };
        options.choose(rng).map_or("", String::as_str)
    }
}

/// Three or four facts of different families, in random order.
fn persona<R: Rng>(rng: &mut R) -> Vec<Fact> {
    let families = &Grammar::get().families;
    let count = rng.random_range(3..=4);
    let chosen = index::sample(rng, families.len(), count);
    let mut fact = |family: usize| Fact {
        family,
        value: rng.random_range(0..families[family].values.len()),
        statement: pick(rng, families[family].statements.iter().map(|p| p.weight)),
    };
    let mut facts: Vec<_> = chosen.into_iter().map(&mut fact).collect();
    facts.shuffle(rng);
    facts
}

fn join(sentences: &[&str]) -> String {
    let said: Vec<_> = sentences
        .iter()
        .copied()
        .filter(|s| !s.is_empty())
        .collect();
    said.join(" ")
}
