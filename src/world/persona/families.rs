//! The persona world's grammar: attribute families and small talk, from `assets/persona/`.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::world::Phrase;

/// One attribute that a persona has at most one value of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    pub name: String,
    /// Single words, in no other family.
    pub values: Vec<String>,
    /// Wordings of a persona sentence; a reply may use them too.
    pub statements: Vec<Phrase>,
    /// Further wordings of a reply.
    pub answers: Vec<Phrase>,
    /// What the user asks.
    pub questions: Vec<Phrase>,
    /// What the user says of the answer.
    pub reactions: Vec<String>,
    /// What the user says when asked back.
    pub returns: Vec<String>,
}

impl Family {
    /// All wordings of a reply: `statements`, then `answers`.
    pub fn wordings(&self) -> impl Iterator<Item = &Phrase> + Clone {
        self.statements.iter().chain(&self.answers)
    }
}

/// Small talk on one topic, which needs no persona.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    pub name: String,
    pub prompts: Vec<Phrase>,
    pub replies: Vec<Phrase>,
    pub reactions: Vec<String>,
}

/// What may follow the answer to a persona question; the empty text is the most likely.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    pub text: String,
    pub weight: u32,
    /// Whether the bot asks the question back.
    pub asks: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SmallTalk {
    topics: Vec<Topic>,
    tails: Vec<Tail>,
}

/// Everything that can be said in the persona world.
#[derive(Clone, Debug)]
pub struct Grammar {
    pub families: Vec<Family>,
    pub topics: Vec<Topic>,
    pub tails: Vec<Tail>,
}

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    // Both files are compiled in, so a parse error is a defect of the build, which the tests would show.
    let families = serde_json::from_str(include_str!("../../../assets/persona/families.json"))
        .expect("assets/persona/families.json is valid");
    let SmallTalk { topics, tails } =
        serde_json::from_str(include_str!("../../../assets/persona/small_talk.json"))
            .expect("assets/persona/small_talk.json is valid");
    Grammar {
        families,
        topics,
        tails,
    }
});

impl Grammar {
    pub fn get() -> &'static Grammar {
        &GRAMMAR
    }

    /// Values other than the true one that every family can offer.
    pub fn most_false_values(&self) -> usize {
        self.families
            .iter()
            .map(|f| f.values.len() - 1)
            .min()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn values_are_single_words_of_one_family_only() {
        let grammar = Grammar::get();
        assert!(grammar.families.len() >= 12 && grammar.topics.len() >= 6);
        let mut seen = HashSet::new();
        for family in &grammar.families {
            assert!((12..=24).contains(&family.values.len()), "{}", family.name);
            for value in &family.values {
                assert!(value.chars().all(|c| c.is_ascii_lowercase()), "{value}");
                assert!(seen.insert(value), "{value} is in two families");
            }
        }
    }

    #[test]
    fn every_wording_is_one_short_sentence_with_one_slot_and_uneven_weights() {
        for family in &Grammar::get().families {
            for phrase in family.wordings() {
                let pattern = &phrase.pattern;
                assert_eq!(pattern.matches(Phrase::SLOT).count(), 1, "{pattern}");
                assert!(pattern.ends_with('.') && pattern.matches(['.', '?', '!']).count() == 1);
                assert!((3..=9).contains(&pattern.split(' ').count()), "{pattern}");
                for value in &family.values {
                    let sentence = phrase.with(value);
                    assert!(
                        !["a a", "a e", "a i", "a o", "a u"].iter().any(|article| {
                            format!(" {sentence}").contains(&format!(" {article}"))
                        }),
                        "{sentence}"
                    );
                }
            }
            let weights: HashSet<_> = family.statements.iter().map(|p| p.weight).collect();
            assert_eq!(weights.len(), family.statements.len(), "{}", family.name);
            assert!(family.questions.len() >= 3 && family.answers.len() >= 3);
        }
    }
}
