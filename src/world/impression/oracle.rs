//! Reads the signs of a bot's reply, and scores it by them.
//!
//! Exact for what the grammar can say: each sentence is looked up among all that it can produce. A sentence
//! outside the grammar shows nothing, and lowers every score: the scores of a reply are those of its signs
//! times the share of its sentences that are in the grammar. An empty reply scores 0 throughout.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::grammar::{Does, Grammar};
use super::score::{LONG, Scores, Sign};
use crate::data::{Prompt, Speaker};
use crate::world::wording::sentences;

/// What a reply is judged by: where the dialogue stands when the bot speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// What the dialogue is about.
    pub topic: String,
    /// The facts that the bot has told, by subject, as it told them first.
    pub told: BTreeMap<String, String>,
    /// The subject that the user's last turn asks for.
    pub asked: Option<String>,
    /// The feeling that the user's last turn tells.
    pub feeling: Option<String>,
}

impl Scene {
    /// The scene as an example's `meta`.
    pub fn meta(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            other => unreachable!("a scene is an object, not {other:?}"),
        }
    }

    /// Adds the facts that a reply tells.
    pub fn hear(&mut self, reply: &str) {
        let grammar = Grammar::get();
        for act in sentences(reply).iter().filter_map(|it| grammar.meaning(it)) {
            if act.does == Does::Fact {
                let told = self.told.entry(act.v.clone());
                told.or_insert_with(|| act.w.clone());
            }
        }
    }

    /// The signs of `reply`, before which the bot has said `last`.
    pub fn signs(&self, last: &str, reply: &str) -> BTreeSet<Sign> {
        let grammar = Grammar::get();
        let mut signs = BTreeSet::new();
        let mut told = self.told.clone();
        let mut said: HashSet<&str> = sentences(last).into_iter().collect();
        let reply_sentences = sentences(reply);
        if reply_sentences.len() > LONG {
            signs.insert(Sign::Long);
        }
        for sentence in reply_sentences {
            let act = grammar.meaning(sentence);
            let is_dull = act.is_some_and(|act| act.does == Does::Dull);
            if !said.insert(sentence) && !is_dull {
                signs.insert(Sign::Repeats);
            }
            let Some(act) = act else { continue };
            let sign = match act.does {
                Does::Fact => {
                    if self.asked.as_ref() == Some(&act.v) {
                        signs.insert(Sign::Answers);
                    }
                    match told.entry(act.v.clone()) {
                        Entry::Vacant(told) => {
                            told.insert(act.w.clone());
                            continue;
                        }
                        Entry::Occupied(first) if *first.get() == act.w => Sign::Keeps,
                        Entry::Occupied(_) => Sign::Contradicts,
                    }
                }
                Does::Acknowledge if self.feeling.as_ref() == Some(&act.v) => Sign::Acknowledges,
                Does::Acknowledge => Sign::Misreads,
                Does::Stay if act.v == self.topic => Sign::Stays,
                // What claims to go on with something else turns to it.
                Does::Stay => Sign::Changes,
                Does::Change if act.v == self.topic => continue,
                Does::Change => Sign::Changes,
                Does::Propose => Sign::Proposes,
                Does::Ask => Sign::Asks,
                Does::Feel => Sign::Feels,
                Does::Joke => Sign::Jokes,
                Does::Praise => Sign::Praises,
                Does::Machine => Sign::Mechanical,
                Does::Interject => Sign::Interjects,
                Does::Tell => Sign::Tells,
                Does::Involved => Sign::Involved,
                Does::Claim => Sign::Claims,
                Does::Admit => Sign::Admits,
                Does::Dull => continue,
            };
            signs.insert(sign);
        }
        if self.asked.is_some() && !signs.contains(&Sign::Answers) && !is_dull(reply) {
            signs.insert(Sign::Ignores);
        }
        signs
    }

    /// The scores of `reply`, before which the bot has said `last`.
    pub fn scores(&self, last: &str, reply: &str) -> Scores {
        let heard = sentences(reply);
        let grammar = Grammar::get();
        let known = heard.iter().filter(|it| grammar.meaning(it).is_some());
        let share = known.count() as f64 / heard.len().max(1) as f64;
        Scores::of(&self.signs(last, reply)).times(share)
    }
}

/// Scores `reply` to `prompt`, of which `meta` is the [`Scene`]. Of the prompt only the bot's last turn is
/// read, for what the reply says again. White space around the reply is ignored.
///
/// # Errors
/// When `meta` is not a scene of this world, by what is wrong with it.
pub fn judge_reply(meta: &Map<String, Value>, prompt: &Prompt, reply: &str) -> Result<Scores> {
    let scene: Scene = serde_json::from_value(Value::Object(meta.clone()))
        .context("the example's meta is not one of the impression world")?;
    let mut turns = prompt.turns();
    let last = turns.rfind(|turn| turn.speaker == Speaker::Bot && !turn.text.trim().is_empty());
    Ok(scene.scores(last.map_or("", |turn| &turn.text), reply))
}

/// Whether a reply says nothing at all, in short words.
pub fn is_dull(reply: &str) -> bool {
    let grammar = Grammar::get();
    let heard = sentences(reply);
    let dull = |sentence: &&str| {
        let act = grammar.meaning(sentence);
        act.is_some_and(|act| act.does == Does::Dull)
    };
    !heard.is_empty() && heard.iter().all(dull)
}

#[cfg(test)]
mod tests {
    use super::super::score::Impression;
    use super::*;
    use crate::data::chat::ChatTemplate;
    use crate::data::render::render;
    use crate::data::{Turn, template};

    fn scene() -> Scene {
        Scene {
            topic: "chess".into(),
            told: BTreeMap::from([("drink".into(), "tea".into())]),
            asked: Some("pet".into()),
            feeling: Some("sad".into()),
        }
    }

    fn signs(reply: &str) -> Vec<Sign> {
        let last = "shall we plan a walk? i see.";
        scene().signs(last, reply).into_iter().collect()
    }

    #[test]
    fn each_sign_is_read_in_its_scene() {
        use Sign::*;
        let cases: [(&str, &[Sign]); 22] = [
            ("my pet is cat.", &[Answers]),
            ("shall we plan a trip?", &[Proposes, Ignores]),
            (
                "my pet is cat. may i ask, which pet do you like?",
                &[Asks, Answers],
            ),
            ("my drink is tea. my pet is dog.", &[Answers, Keeps]),
            ("my drink is milk. my pet is dog.", &[Answers, Contradicts]),
            (
                "my pet is dog. i would say my pet is hen.",
                &[Answers, Contradicts],
            ),
            (
                "furthermore, a distinction remains to be specified.",
                &[Ignores, Involved],
            ),
            (
                "feeling sad is a lot, i am with you.",
                &[Ignores, Acknowledges],
            ),
            ("you feel happy, i hear you.", &[Ignores, Misreads]),
            ("my heart is calm now.", &[Ignores, Feels]),
            ("guess what, the cow lost its hat.", &[Ignores, Jokes]),
            ("how wise of you.", &[Ignores, Praises]),
            ("wow, just wow.", &[Ignores, Interjects]),
            ("as a program, i process requests.", &[Ignores, Mechanical]),
            ("shall we plan a walk?", &[Proposes, Ignores, Repeats]),
            (
                "how wise of you. how wise of you.",
                &[Ignores, Praises, Repeats],
            ),
            ("personally, i love to bake.", &[Ignores, Tells]),
            ("talking of chess is a pleasure.", &[Ignores, Stays]),
            ("forget that, i prefer books.", &[Ignores, Changes]),
            ("talking of books is a pleasure.", &[Ignores, Changes]),
            ("perhaps i am wrong here.", &[Ignores, Admits]),
            ("believe me, i know everything.", &[Ignores, Claims]),
        ];
        for (reply, expected) in cases {
            assert_eq!(signs(reply), expected, "{reply}");
        }
        assert_eq!(signs("i see. i see."), []);
        assert_eq!(signs("anyway, have you heard of chess?"), [Ignores]);
        let six = "my pet is cat. oh my, well well. hmm, goodness me. i see. all right. sure.";
        assert_eq!(signs(six), [Answers, Long, Interjects]);
    }

    #[test]
    fn what_is_outside_the_grammar_lowers_every_score() {
        let turn = |speaker, text: &str| Turn {
            speaker,
            text: text.into(),
        };
        let turns = [
            turn(Speaker::User, "so?"),
            turn(Speaker::Bot, "wow, just wow."),
            turn(Speaker::User, "well?"),
        ];
        let prompt = template::prompt(String::new(), &turns);
        let judge = |reply: &str| judge_reply(&scene().meta(), &prompt, reply).unwrap();
        let plain = judge(" my pet is cat.\n");
        let half = judge("my pet is cat. cat cat pet.");
        for impression in Impression::ALL {
            let (plain, half) = (plain.get(impression), half.get(impression));
            assert_eq!(half, plain / 2.0, "{impression:?}");
            for reply in ["", " ", "pet.", "my pet is cat"] {
                assert_eq!(judge(reply).get(impression), 0.0, "{reply}");
            }
        }
        assert_eq!(plain.get(Impression::Attentiveness), 10.0);
        // The bot's last turn is read in the prompt, whatever template wrote it.
        let again = judge("wow, just wow. my pet is cat.");
        assert_eq!(again.get(Impression::Humanness), 7.0);
        let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
        let chatml = ChatTemplate::new(source.into(), Default::default()).unwrap();
        let written = render(&prompt, &[], Some(&chatml)).unwrap().0;
        let reply = "wow, just wow. my pet is cat.";
        let found = judge_reply(&scene().meta(), &written, reply).unwrap();
        assert_eq!(found.get(Impression::Humanness), 7.0);
        let error = judge_reply(&Map::new(), &prompt, "i see.").unwrap_err();
        assert!(format!("{error:#}").contains("topic"), "{error:#}");
    }

    #[test]
    fn only_replies_that_say_nothing_are_dull() {
        for reply in ["i see.", " okay then. sure. "] {
            assert!(is_dull(reply), "{reply}");
        }
        for reply in ["", "i see", "i see. wow, just wow.", "my pet is cat."] {
            assert!(!is_dull(reply), "{reply}");
        }
    }
}
