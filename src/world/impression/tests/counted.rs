//! Counts signs in a dialogue's text by the words that sentences begin with, and adds up the table of the
//! module's docstring, with nothing of the oracle or the grammar.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::{Speaker, Turn};

/// How many of a dialogue's replies show each sign, and how many replies there are.
pub struct Counts {
    pub signs: BTreeMap<&'static str, f64>,
    pub replies: f64,
}

const SIGNS: [&str; 21] = [
    "proposes",
    "asks",
    "answers",
    "ignores",
    "keeps",
    "contradicts",
    "involved",
    "long",
    "feeling",
    "wrong feeling",
    "mood",
    "joke",
    "praise",
    "oh",
    "machine",
    "again",
    "self",
    "stays",
    "changes",
    "admits",
    "claims",
];

/// Sentences that need no context, by how they begin.
const BEGINNINGS: [(&str, &str); 28] = [
    ("shall we ", "proposes"),
    ("we could ", "proposes"),
    ("may i ask", "asks"),
    ("tell me", "asks"),
    ("notwithstanding", "involved"),
    ("in accordance", "involved"),
    ("furthermore", "involved"),
    ("my heart ", "mood"),
    ("inside i am ", "mood"),
    ("here is a joke", "joke"),
    ("guess what", "joke"),
    ("you are so ", "praise"),
    ("how ", "praise"),
    ("oh my", "oh"),
    ("hmm", "oh"),
    ("wow", "oh"),
    ("this system ", "machine"),
    ("as a program", "machine"),
    ("output ", "machine"),
    ("as for me", "self"),
    ("personally", "self"),
    ("perhaps ", "admits"),
    ("that is more ", "admits"),
    ("i can not ", "admits"),
    ("i promise ", "claims"),
    ("believe me", "claims"),
    ("nothing can ", "claims"),
    ("anyway", "changes"),
];

const DULL: [&str; 6] = [
    "i see",
    "that sounds nice",
    "okay then",
    "all right",
    "very good",
    "sure",
];

impl Counts {
    fn of(&self, sign: &str) -> f64 {
        assert!(SIGNS.contains(&sign), "{sign}");
        self.signs.get(sign).copied().unwrap_or(0.0)
    }

    pub fn scores(&self) -> Vec<(&'static str, f64)> {
        let rate = |sign| self.of(sign) / self.replies;
        let empathetic = 5.0 + 5.0 * rate("feeling") - 5.0 * rate("wrong feeling");
        let enjoyability = 3.0 + 4.0 * rate("joke") + 3.0 * rate("praise");
        let personality = 10.0 * rate("self");
        vec![
            ("agency", 5.0 * rate("proposes") + 5.0 * rate("asks")),
            (
                "attentiveness",
                5.0 + 5.0 * rate("answers") - 5.0 * rate("ignores"),
            ),
            (
                "consistency",
                8.0 + 2.0 * rate("keeps") - 8.0 * rate("contradicts"),
            ),
            ("ease", 10.0 - 7.0 * rate("involved") - 3.0 * rate("long")),
            ("empathetic", empathetic),
            ("emotion", 2.0 + 8.0 * rate("mood")),
            ("enjoyability", enjoyability),
            (
                "humanness",
                7.0 + 3.0 * rate("oh") - 4.0 * rate("machine") - 3.0 * rate("again"),
            ),
            ("personality", personality),
            (
                "respeak",
                0.5 * enjoyability + 0.4 * personality + 0.1 * empathetic,
            ),
            ("topic", 8.0 + 2.0 * rate("stays") - 8.0 * rate("changes")),
            ("trust", 8.0 + 2.0 * rate("admits") - 8.0 * rate("claims")),
        ]
    }

    /// A one, and the count of every sign.
    pub fn features(&self) -> Vec<f64> {
        let counts = SIGNS.iter().map(|sign| self.of(sign));
        std::iter::once(1.0).chain(counts).collect()
    }
}

/// A dialogue's turns, from its lines.
pub fn turns(text: &str) -> Vec<Turn> {
    let turn = |line: &str| {
        let (name, text) = line.split_once(": ").unwrap();
        Turn {
            speaker: match name {
                "User" => Speaker::User,
                _ => Speaker::Bot,
            },
            text: text.to_owned(),
        }
    };
    text.lines().map(turn).collect()
}

/// The words between a beginning and an end, if a sentence has both.
fn between<'a>(sentence: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    sentence.strip_prefix(begin)?.strip_suffix(end)
}

fn any<'a>(sentence: &'a str, patterns: &[(&str, &str)]) -> Option<&'a str> {
    let mut patterns = patterns.iter();
    patterns.find_map(|(begin, end)| between(sentence, begin, end))
}

pub fn count(turns: &[Turn]) -> Counts {
    let mut signs: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut facts: BTreeMap<String, String> = BTreeMap::new();
    let mut last: Vec<&str> = Vec::new();
    let mut topic = "";
    let (mut question, mut feeling) = (None, None);
    let mut replies = 0.0;
    for turn in turns {
        let sentences: Vec<&str> = turn
            .text
            .split_inclusive(['.', '?'])
            .map(|it| it.trim().trim_end_matches(['.', '?']))
            .collect();
        if turn.speaker == Speaker::User {
            let find = |patterns: &[(&str, &str)]| {
                sentences
                    .iter()
                    .find_map(|sentence| any(sentence, patterns))
            };
            question = find(&[("what is your ", ""), ("i want to know your ", "")]);
            feeling = find(&[("i feel ", " today"), ("today makes me ", "")]);
            let named = find(&[
                ("let us talk about ", ""),
                ("i think a lot about ", ""),
                ("", " is on my mind"),
            ]);
            topic = named.unwrap_or(topic);
            continue;
        }
        replies += 1.0;
        let mut shown = BTreeSet::new();
        for (at, sentence) in sentences.iter().enumerate() {
            let fixed = BEGINNINGS.iter().filter(|it| sentence.starts_with(it.0));
            shown.extend(fixed.map(|it| it.1));
            if let Some(named) = any(
                sentence,
                &[
                    ("you feel ", ", i hear you"),
                    ("feeling ", " is a lot, i am with you"),
                ],
            ) {
                let right = feeling == Some(named);
                shown.insert(if right { "feeling" } else { "wrong feeling" });
            }
            if let Some(prefers) = between(sentence, "forget that, i prefer ", "") {
                assert_ne!(prefers, topic);
                shown.insert("changes");
            }
            if let Some(named) = any(
                sentence,
                &[
                    ("speaking of ", ", there is much to say"),
                    ("talking of ", " is a pleasure"),
                ],
            ) {
                assert_eq!(named, topic);
                shown.insert("stays");
            }
            let fact = any(sentence, &[("i would say my ", ""), ("my ", "")]);
            if let Some((subject, value)) = fact.and_then(|fact| fact.split_once(" is "))
                && subject != "heart"
            {
                if question == Some(subject) {
                    shown.insert("answers");
                }
                match facts.get(subject) {
                    None => drop(facts.insert(subject.into(), value.into())),
                    Some(first) if first == value => drop(shown.insert("keeps")),
                    Some(_) => drop(shown.insert("contradicts")),
                }
            }
            let said = last.contains(sentence) || sentences[..at].contains(sentence);
            if said && !DULL.contains(sentence) {
                shown.insert("again");
            }
        }
        if sentences.len() > 5 {
            shown.insert("long");
        }
        let dull = sentences.iter().all(|it| DULL.contains(it));
        if question.is_some() && !shown.contains("answers") && !dull {
            shown.insert("ignores");
        }
        for sign in shown {
            *signs.entry(sign).or_default() += 1.0;
        }
        last = sentences;
    }
    Counts { signs, replies }
}
