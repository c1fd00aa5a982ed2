//! The impression world's words and wordings, from `assets/impression/`, and what a bot's sentences do.
//!
//! In a wording `{v}` stands for what a sentence is about and `{w}` for what is said of that.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use rand::Rng;
use serde::Deserialize;

use crate::world::{Phrase, any};

/// What the user can say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserWordings {
    pub topic: Vec<Phrase>,
    pub feeling: Vec<Phrase>,
    pub question: Vec<Phrase>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wordings {
    user: UserWordings,
    bot: BTreeMap<Does, Vec<Phrase>>,
}

/// The words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    pub topics: Vec<String>,
    /// What a bot can be asked of itself, each with what it can be.
    pub subjects: BTreeMap<String, Vec<String>>,
    /// What the user can feel.
    pub feelings: Vec<String>,
    /// What the bot can feel.
    pub moods: Vec<String>,
    pub plans: Vec<String>,
    pub habits: Vec<String>,
    pub qualities: Vec<String>,
    pub animals: Vec<String>,
    pub things: Vec<String>,
}

/// Everything that can be said in the impression world.
#[derive(Clone, Debug)]
pub struct Grammar {
    pub words: Words,
    pub user: UserWordings,
    bot: BTreeMap<Does, Vec<Phrase>>,
    /// Every sentence of a bot with its meaning.
    lexicon: HashMap<String, Act>,
}

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    // Both files are compiled in, so a parse error is a defect of the build, which the tests would show.
    let words: Words = serde_json::from_str(include_str!("../../../assets/impression/words.json"))
        .expect("assets/impression/words.json is valid");
    let Wordings { user, bot } =
        serde_json::from_str(include_str!("../../../assets/impression/wordings.json"))
            .expect("assets/impression/wordings.json is valid");
    let mut lexicon = HashMap::new();
    for act in Act::all(&words) {
        for phrase in &bot[&act.does] {
            lexicon.insert(act.fill(phrase), act.clone());
        }
    }
    Grammar {
        words,
        user,
        bot,
        lexicon,
    }
});

impl Grammar {
    pub fn get() -> &'static Grammar {
        &GRAMMAR
    }

    /// What a sentence of the bot does; nothing for one outside the grammar.
    pub fn meaning(&self, sentence: &str) -> Option<&Act> {
        self.lexicon.get(sentence)
    }
}

/// What a bot's sentence can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// Tells a fact of the bot: a subject and what it is.
    Fact,
    /// Names a feeling of the user.
    Acknowledge,
    Propose,
    /// Asks for a subject of the user's.
    Ask,
    /// Goes on with a topic.
    Stay,
    /// Turns to a topic.
    Change,
    /// Tells a feeling of the bot.
    Feel,
    Joke,
    Praise,
    /// Speaks as a machine.
    Machine,
    Interject,
    /// Tells a habit of the bot.
    Tell,
    /// Says nothing in long words.
    Involved,
    /// Promises or claims too much.
    Claim,
    /// Says what the bot can not know.
    Admit,
    /// Says nothing in short words.
    Dull,
}

impl Does {
    pub const ALL: [Self; 16] = [
        Self::Fact,
        Self::Acknowledge,
        Self::Propose,
        Self::Ask,
        Self::Stay,
        Self::Change,
        Self::Feel,
        Self::Joke,
        Self::Praise,
        Self::Machine,
        Self::Interject,
        Self::Tell,
        Self::Involved,
        Self::Claim,
        Self::Admit,
        Self::Dull,
    ];

    /// What its `{v}` can be; one empty word where it has none.
    fn about(self, words: &Words) -> Vec<String> {
        match self {
            Self::Fact | Self::Ask => words.subjects.keys().cloned().collect(),
            Self::Acknowledge => words.feelings.clone(),
            Self::Propose => words.plans.clone(),
            Self::Stay | Self::Change => words.topics.clone(),
            Self::Feel => words.moods.clone(),
            Self::Joke => words.animals.clone(),
            Self::Praise => words.qualities.clone(),
            Self::Tell => words.habits.clone(),
            Self::Machine
            | Self::Interject
            | Self::Involved
            | Self::Claim
            | Self::Admit
            | Self::Dull => vec![String::new()],
        }
    }

    /// What its `{w}` can be beside a `{v}`; one empty word where it has none.
    fn said(self, v: &str, words: &Words) -> Vec<String> {
        match self {
            Self::Fact => words.subjects[v].clone(),
            Self::Joke => words.things.clone(),
            _ => vec![String::new()],
        }
    }

    /// Its meaning with words drawn for what it is about.
    pub fn draw<R: Rng>(self, rng: &mut R) -> Act {
        let words = &Grammar::get().words;
        let v = any(rng, &self.about(words));
        let w = any(rng, &self.said(&v, words));
        Act { does: self, v, w }
    }

    /// Its meaning about `v`.
    pub fn about_word(self, v: &str) -> Act {
        Act {
            does: self,
            v: v.to_owned(),
            w: String::new(),
        }
    }
}

/// The meaning of one sentence of the bot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Act {
    pub does: Does,
    /// What it is about; empty where that says it all.
    pub v: String,
    /// What is said of it; likewise.
    pub w: String,
}

impl Act {
    fn all(words: &Words) -> Vec<Self> {
        let mut acts = Vec::new();
        for does in Does::ALL {
            for v in does.about(words) {
                for w in does.said(&v, words) {
                    let v = v.clone();
                    acts.push(Self { does, v, w });
                }
            }
        }
        acts
    }

    fn fill(&self, phrase: &Phrase) -> String {
        phrase.with(&self.v).replace("{w}", &self.w)
    }

    /// The act as a sentence, in a drawn wording.
    pub fn say<R: Rng>(&self, rng: &mut R) -> String {
        self.fill(Phrase::draw(rng, &Grammar::get().bot[&self.does]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_sentence_means_two_things() {
        let grammar = Grammar::get();
        let mut count = 0;
        for act in Act::all(&grammar.words) {
            for phrase in &grammar.bot[&act.does] {
                let sentence = act.fill(phrase);
                count += 1;
                // A second meaning would have taken the place of the first.
                assert_eq!(grammar.meaning(&sentence), Some(&act), "{sentence}");
                assert_eq!(sentence, sentence.to_lowercase());
                assert!(sentence.ends_with(['.', '?']), "{sentence}");
                let marks = sentence.matches(['.', '?', '!', '{']).count();
                assert_eq!(marks, 1, "{sentence}");
            }
        }
        assert_eq!(grammar.lexicon.len(), count);
        assert_eq!(grammar.bot.len(), Does::ALL.len());
        assert!(count > 250, "{count}");
    }

    #[test]
    fn kinds_of_sentences_begin_in_their_own_way() {
        let grammar = Grammar::get();
        let mut known: HashMap<String, Does> = HashMap::new();
        for (does, phrases) in &grammar.bot {
            assert!(phrases.len() > 1, "{does:?}");
            for phrase in phrases {
                // Two words, or the one before a slot, tell what is coming.
                let words = phrase.pattern.split(' ').take(2);
                let start: Vec<&str> = words.take_while(|word| !word.contains('{')).collect();
                assert!(!start.is_empty(), "{}", phrase.pattern);
                if let Some(other) = known.insert(start.join(" "), *does) {
                    // "that is good." and "that is more than i can know.", "my heart" and "my {v}"
                    // differ in the third word.
                    let pair = HashSet::from([other, *does]);
                    let allowed = HashSet::from([Does::Admit, Does::Dull]);
                    assert!(other == *does || pair == allowed, "{}", phrase.pattern);
                }
            }
        }
    }

    #[test]
    fn words_are_single_lower_case_words_with_one_role() {
        let words = &Grammar::get().words;
        let lists = [
            &words.topics,
            &words.feelings,
            &words.moods,
            &words.plans,
            &words.habits,
            &words.qualities,
            &words.animals,
            &words.things,
        ];
        let subjects = words
            .subjects
            .keys()
            .chain(words.subjects.values().flatten());
        let all: Vec<&String> = lists.into_iter().flatten().chain(subjects).collect();
        for word in &all {
            assert!(word.chars().all(|c| c.is_ascii_lowercase()), "{word}");
        }
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }
}
