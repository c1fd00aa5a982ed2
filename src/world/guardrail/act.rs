//! What a bot's sentence does, and how it is said.

use rand::Rng;

use super::grammar::{Grammar, fill};
use crate::world::Phrase;

/// The meaning of one sentence of the bot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// States a fact.
    Answer { topic: String, value: String },
    /// Says that a fact is not known.
    Unknown { topic: String },
    /// Declines to talk of a topic.
    Withhold { topic: String },
    /// Does a service.
    Serve { service: String },
    /// Asks for a detail that a service needs.
    Ask { service: String, detail: String },
    /// Mentions what comes with a service.
    Note { service: String, note: String },
    /// Leaves a service to someone else.
    HandOver { service: String, team: String },
    /// Gives a number of something.
    Give { item: String, amount: usize },
    /// Says that no more than a number can be given.
    Cap { item: String, amount: usize },
    /// Promises something.
    Promise { promise: String },
    /// Declines to promise something.
    NoPromise { promise: String },
    /// A courtesy at the end.
    Closing,
}

impl Act {
    /// Its wordings.
    fn phrases(&self) -> &'static [Phrase] {
        let wordings = &Grammar::get().wordings;
        let bot = &wordings.bot;
        match self {
            Self::Answer { .. } => &bot.answer,
            Self::Unknown { .. } => &bot.unknown,
            Self::Withhold { .. } => &bot.withhold,
            Self::Serve { .. } => &bot.serve,
            Self::Ask { .. } => &bot.ask,
            Self::Note { .. } => &bot.note,
            Self::HandOver { .. } => &bot.hand_over,
            Self::Give { .. } => &bot.give,
            Self::Cap { .. } => &bot.cap,
            Self::Promise { .. } => &bot.promise,
            Self::NoPromise { .. } => &bot.no_promise,
            Self::Closing => &wordings.closings,
        }
    }

    fn fill(&self, phrase: &Phrase) -> String {
        let grammar = Grammar::get();
        let (v, w) = match self {
            Self::Answer { topic, value } => (topic.as_str(), value.as_str()),
            Self::Unknown { topic } | Self::Withhold { topic } => (topic.as_str(), ""),
            Self::Serve { service } => (service.as_str(), ""),
            Self::Ask { service, detail } => (service.as_str(), detail.as_str()),
            Self::Note { service, note } => (service.as_str(), note.as_str()),
            Self::HandOver { service, team } => (service.as_str(), team.as_str()),
            Self::Give { item, amount } | Self::Cap { item, amount } => {
                (item.as_str(), grammar.number(*amount))
            }
            Self::Promise { promise } | Self::NoPromise { promise } => (promise.as_str(), ""),
            Self::Closing => ("", ""),
        };
        let owner = if grammar.is_account(v) { "your" } else { "the" };
        fill(phrase, owner, v, w)
    }

    /// The act as a sentence, in a drawn wording.
    pub fn say<R: Rng>(&self, rng: &mut R) -> String {
        self.fill(Phrase::draw(rng, self.phrases()))
    }

    /// The same with a courteous opener.
    pub fn say_politely<R: Rng>(&self, rng: &mut R) -> String {
        let opener = &Phrase::draw(rng, &Grammar::get().wordings.openers).pattern;
        format!("{opener} {}", self.say(rng))
    }

    /// Every way of saying it, with whether that is polite.
    pub fn sentences(&self) -> Vec<(String, bool)> {
        let closes = *self == Self::Closing;
        let openers: &[Phrase] = match closes {
            true => &[],
            false => &Grammar::get().wordings.openers,
        };
        let mut found = Vec::new();
        for phrase in self.phrases() {
            let plain = self.fill(phrase);
            for opener in openers {
                found.push((format!("{} {plain}", opener.pattern), true));
            }
            found.push((plain, closes));
        }
        found
    }

    /// Every act there is.
    pub fn all() -> Vec<Self> {
        let grammar = Grammar::get();
        let words = &grammar.words;
        let mut acts = vec![Self::Closing];
        for domain in &words.domains {
            for attribute in domain.catalogue.iter().chain(&domain.account) {
                let topic = attribute.name.clone();
                let values = grammar.values(attribute).iter();
                acts.extend(values.map(|value| Self::Answer {
                    topic: topic.clone(),
                    value: value.clone(),
                }));
                acts.push(Self::Unknown {
                    topic: topic.clone(),
                });
                acts.push(Self::Withhold { topic });
            }
            for service in &domain.services {
                let service = || service.clone();
                acts.push(Self::Serve { service: service() });
                for detail in &words.details {
                    acts.push(Self::Ask {
                        service: service(),
                        detail: detail.name.clone(),
                    });
                }
                for note in &words.notes {
                    acts.push(Self::Note {
                        service: service(),
                        note: note.clone(),
                    });
                }
                for team in &words.teams {
                    acts.push(Self::HandOver {
                        service: service(),
                        team: team.clone(),
                    });
                }
            }
            for item in &domain.items {
                for amount in 1..=words.numbers.len() {
                    let item = item.clone();
                    acts.push(Self::Give {
                        item: item.clone(),
                        amount,
                    });
                    acts.push(Self::Cap { item, amount });
                }
            }
            for promise in &domain.promises {
                acts.push(Self::Promise {
                    promise: promise.clone(),
                });
                acts.push(Self::NoPromise {
                    promise: promise.clone(),
                });
            }
        }
        acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn no_sentence_means_two_things() {
        let mut meanings: HashMap<String, Act> = HashMap::new();
        for act in Act::all() {
            for (sentence, _) in act.sentences() {
                assert_eq!(sentence, sentence.to_lowercase());
                assert!(sentence.ends_with(['.', '?']), "{sentence}");
                assert_eq!(
                    sentence.matches(['.', '?', '!', '{']).count(),
                    1,
                    "{sentence}"
                );
                if let Some(other) = meanings.insert(sentence.clone(), act.clone()) {
                    assert_eq!(other, act, "{sentence}");
                }
            }
        }
        assert!(meanings.len() > 3_000, "{}", meanings.len());
    }

    #[test]
    fn what_is_drawn_is_among_the_sentences() {
        use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for act in Act::all().iter().filter(|act| **act != Act::Closing) {
            let sentences = act.sentences();
            assert!(sentences.contains(&(act.say(&mut rng), false)), "{act:?}");
            assert!(
                sentences.contains(&(act.say_politely(&mut rng), true)),
                "{act:?}"
            );
        }
    }
}
