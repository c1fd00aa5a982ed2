//! Says of any reply whether it is true to a persona.
//!
//! Exact for what the grammar can say: each sentence of a reply is looked up among all sentences that it can
//! produce. A sentence outside the grammar states nothing and makes the reply ill-formed.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::families::Grammar;
use crate::data::{Prompt, RankingItem, Speaker, Turn};
use crate::world::wording::sentences;

/// How a reply relates to a persona.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// States a fact of the persona, and none against it.
    Grounded,
    /// States another value of a family that the persona holds.
    Contradicting,
    /// States nothing about a family that the persona holds.
    Neither,
}

/// What the oracle says of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub relation: Relation,
    /// The reply is one or more sentences which a bot of this world can say, and nothing else.
    pub well_formed: bool,
    /// The reply speaks of what the last user turn asked: its family, or its small-talk topic.
    pub on_topic: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Family(usize),
    SmallTalk(usize),
}

/// What one bot sentence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Fact { family: usize, value: usize },
    SmallTalk(usize),
    Tail,
}

struct Lexicon {
    /// Every sentence that a bot can say; persona sentences are among them.
    bot: HashMap<String, Meaning>,
    /// Every user sentence that asks for a reply.
    prompts: HashMap<&'static str, Subject>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let grammar = Grammar::get();
    let (mut bot, mut prompts) = (HashMap::new(), HashMap::new());
    for (k, family) in grammar.families.iter().enumerate() {
        for phrase in family.wordings() {
            for (value, word) in family.values.iter().enumerate() {
                bot.insert(phrase.with(word), Meaning::Fact { family: k, value });
            }
        }
        for question in &family.questions {
            prompts.insert(question.pattern.as_str(), Subject::Family(k));
        }
    }
    for (k, topic) in grammar.topics.iter().enumerate() {
        for reply in &topic.replies {
            bot.insert(reply.pattern.clone(), Meaning::SmallTalk(k));
        }
        for prompt in &topic.prompts {
            prompts.insert(prompt.pattern.as_str(), Subject::SmallTalk(k));
        }
    }
    for tail in grammar.tails.iter().filter(|t| !t.text.is_empty()) {
        bot.insert(tail.text.clone(), Meaning::Tail);
    }
    Lexicon { bot, prompts }
});

/// As [`judge_reply`], given the prompt: its persona, and what the user has said last.
pub fn judge_prompt(prompt: &Prompt, reply: &str) -> Verdict {
    let mut turns = prompt.turns();
    let asked = turns.rfind(|turn| turn.speaker == Speaker::User);
    judge_reply(
        prompt.persona(),
        asked.map_or(&[], std::slice::from_ref),
        reply,
    )
}

/// Judges `reply` to `history`, which ends with a user turn, by a bot that holds `persona`.
///
/// White space around the reply is ignored. Persona sentences outside the grammar are too.
pub fn judge_reply(persona: &[String], history: &[Turn], reply: &str) -> Verdict {
    let lexicon = &*LEXICON;
    let held: HashMap<usize, usize> = persona
        .iter()
        .filter_map(|sentence| match lexicon.bot.get(sentence.trim()) {
            Some(Meaning::Fact { family, value }) => Some((*family, *value)),
            _ => None,
        })
        .collect();
    let asked = history
        .last()
        .filter(|turn| turn.speaker == Speaker::User)
        .and_then(|turn| {
            let sentences = sentences(&turn.text).into_iter();
            sentences.filter_map(|s| lexicon.prompts.get(s)).next_back()
        });

    let mut verdict = Verdict {
        relation: Relation::Neither,
        well_formed: !reply.trim().is_empty(),
        on_topic: false,
    };
    for sentence in sentences(reply) {
        match lexicon.bot.get(sentence) {
            None => verdict.well_formed = false,
            Some(Meaning::Tail) => {}
            Some(Meaning::SmallTalk(topic)) => {
                verdict.on_topic |= asked == Some(&Subject::SmallTalk(*topic));
            }
            Some(Meaning::Fact { family, value }) => {
                verdict.on_topic |= asked == Some(&Subject::Family(*family));
                match held.get(family) {
                    None => {}
                    Some(truth) if truth != value => verdict.relation = Relation::Contradicting,
                    Some(_) if verdict.relation == Relation::Neither => {
                        verdict.relation = Relation::Grounded;
                    }
                    Some(_) => {}
                }
            }
        }
    }
    verdict
}

/// The Dialogue-NLI label of a candidate of `item`: `entail` (the gold reply too), `contradict` or `random`.
pub fn label(item: &RankingItem, candidate: &str) -> &'static str {
    match judge_reply(&item.persona, &item.history, candidate).relation {
        Relation::Grounded => "entail",
        Relation::Contradicting => "contradict",
        Relation::Neither => "random",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(asked: &str, reply: &str) -> (Relation, bool, bool) {
        let persona = [
            "my pet is a cat.".to_owned(),
            "i live in boston.".to_owned(),
        ];
        let history = [Turn {
            speaker: Speaker::User,
            text: asked.to_owned(),
        }];
        let verdict = judge_reply(&persona, &history, reply);
        (verdict.relation, verdict.well_formed, verdict.on_topic)
    }

    #[test]
    fn replies_are_judged_sentence_by_sentence() {
        use Relation::{Contradicting, Grounded, Neither};
        let pet = "aw, that sounds sweet. do you have any pets?";
        let cases = [
            ("i have a cat at home. and you?", (Grounded, true, true)),
            (" my pet is a dog.", (Contradicting, true, true)),
            ("i live in boston.", (Grounded, true, false)),
            (
                "i live in boston. my pet is a dog.",
                (Contradicting, true, true),
            ),
            (
                "my pet is a dog. i live in boston.",
                (Contradicting, true, true),
            ),
            ("i drive a van.", (Neither, true, false)),
            ("i slept like a baby.", (Neither, true, false)),
            ("my pet is a baker.", (Neither, false, false)),
            ("my pet is a cat", (Neither, false, false)),
            ("my pet is a cat. the the.", (Grounded, false, true)),
            ("my pet is a cat.  and you?", (Grounded, false, true)),
            ("my pet is a cat.and you?", (Neither, false, false)),
            ("", (Neither, false, false)),
            (". ? !", (Neither, false, false)),
            ("é. 日本? i live in boston.", (Grounded, false, false)),
        ];
        for (reply, expected) in cases {
            assert_eq!(judge(pet, reply), expected, "{reply:?}");
        }
        assert_eq!(
            judge("did you sleep well?", "i slept like a baby."),
            (Neither, true, true)
        );
        assert_eq!(
            judge("did you sleep well?", "my pet is a dog."),
            (Contradicting, true, false)
        );
    }

    #[test]
    fn no_sentence_means_two_things() {
        let grammar = Grammar::get();
        let facts: usize = grammar
            .families
            .iter()
            .map(|f| f.wordings().count() * f.values.len())
            .sum();
        let replies: usize = grammar.topics.iter().map(|t| t.replies.len()).sum();
        assert_eq!(LEXICON.bot.len(), facts + replies + grammar.tails.len() - 1);
        let questions: usize = grammar.families.iter().map(|f| f.questions.len()).sum();
        let prompts: usize = grammar.topics.iter().map(|t| t.prompts.len()).sum();
        assert_eq!(LEXICON.prompts.len(), questions + prompts);
    }

    #[test]
    fn the_last_question_is_the_one_asked_and_a_bot_turn_asks_nothing() {
        let two = "what is your job? do you have any pets?";
        assert!(judge(two, "my pet is a cat.").2);
        let history = [Turn {
            speaker: Speaker::Bot,
            text: "do you have any pets?".into(),
        }];
        assert!(!judge_reply(&[], &history, "my pet is a cat.").on_topic);
        assert!(!judge_reply(&[], &[], "my pet is a cat.").on_topic);
    }
}
