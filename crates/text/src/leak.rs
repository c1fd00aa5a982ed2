//! Dialogues that ranking items were built on, to be kept out of training.
//!
//! Dialogue-NLI's evaluation items come from PersonaChat's validation dialogues. A model trained on
//! those has seen the very answers, so that Hits would measure memory. Items of one dialogue, or of one persona, tell
//! of each other in the same way.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{Dialogue, RankingItem};

/// The share of an item's history that makes a dialogue its source.
const SHARED: f64 = 0.5;

/// An utterance found in more dialogues than this is a greeting and the like: it tells no source.
const COMMON: usize = 3;

/// The ids of the dialogues that share at least half of an item's history, the true reply counted with it;
/// at least one utterance shared must be rare. Utterances are compared by their words alone: case,
/// punctuation and contractions ("i'm", "i am") make no difference, since the two datasets write them
/// in their own ways.
pub fn held_out(dialogues: &[Dialogue], items: &[RankingItem]) -> BTreeSet<String> {
    let mut said_in: HashMap<String, HashSet<usize>> = HashMap::new();
    for (index, dialogue) in dialogues.iter().enumerate() {
        for turn in &dialogue.turns {
            said_in.entry(words(&turn.text)).or_default().insert(index);
        }
    }
    let mut held_out = BTreeSet::new();
    for item in items {
        let history = item.history.iter().map(|turn| turn.text.as_str());
        let gold = item.candidates.iter().filter(|(_, label)| label == "hits");
        let utterances: Vec<String> = history
            .chain(gold.map(|(text, _)| text.as_str()))
            .map(words)
            .collect();
        // Dialogue: utterances shared with the item, and whether one of them is rare.
        let mut shared: HashMap<usize, (usize, bool)> = HashMap::new();
        for places in utterances.iter().filter_map(|said| said_in.get(said)) {
            for &dialogue in places {
                let (count, rare) = shared.entry(dialogue).or_default();
                *count += 1;
                *rare |= places.len() <= COMMON;
            }
        }
        for (dialogue, (count, rare)) in shared {
            if rare && count as f64 >= SHARED * utterances.len() as f64 {
                held_out.insert(dialogues[dialogue].id.clone());
            }
        }
    }
    held_out
}

/// For each item the number of the family that it belongs to, from 0 in order of appearance. Items are of one family if
/// they were built on one dialogue (its first two utterances are theirs, compared as [`held_out`] does) or under one
/// persona, and so are those that a third links.
pub fn families(items: &[RankingItem]) -> Vec<usize> {
    // The first item of each item's family that is known so far.
    let mut first: Vec<usize> = (0..items.len()).collect();
    let root = |first: &[usize], mut at: usize| {
        while first[at] != at {
            at = first[at];
        }
        at
    };
    let mut known: HashMap<Vec<String>, usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let history = item.history.iter().map(|turn| turn.text.as_str());
        let gold = item.candidates.iter().filter(|(_, label)| label == "hits");
        let said = history.chain(gold.map(|(text, _)| text.as_str()));
        let opening = ["opening".to_owned()].into_iter();
        let mut persona: Vec<String> = item.persona.iter().map(|it| words(it)).collect();
        persona.sort();
        persona.push("persona".to_owned());
        for key in [opening.chain(said.take(2).map(words)).collect(), persona] {
            let other = root(&first, *known.entry(key).or_insert(at));
            let own = root(&first, at);
            first[own.max(other)] = own.min(other);
        }
    }
    let mut numbers = HashMap::new();
    (0..items.len())
        .map(|at| {
            let next = numbers.len();
            *numbers.entry(root(&first, at)).or_insert(next)
        })
        .collect()
}

/// An utterance as its words in lower case, contractions spelt out.
fn words(text: &str) -> String {
    let mut words = String::new();
    for word in text.to_lowercase().replace('’', "'").split_whitespace() {
        let (stem, rest) = spelt_out(word);
        for part in [stem, rest] {
            let letters: String = part.chars().filter(|c| c.is_alphanumeric()).collect();
            if !letters.is_empty() {
                if !words.is_empty() {
                    words.push(' ');
                }
                words.push_str(&letters);
            }
        }
    }
    words
}

fn spelt_out(word: &str) -> (&str, &str) {
    const WHOLE: [(&str, &str, &str); 3] = [
        ("can't", "can", "not"),
        ("cannot", "can", "not"),
        ("won't", "will", "not"),
    ];
    const ENDINGS: [(&str, &str); 7] = [
        ("n't", "not"),
        ("'m", "am"),
        ("'re", "are"),
        ("'ve", "have"),
        ("'ll", "will"),
        ("'d", "would"),
        ("'s", "is"),
    ];
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    if let Some((_, stem, rest)) = WHOLE.iter().find(|(whole, ..)| *whole == word) {
        return (stem, rest);
    }
    let mut endings = ENDINGS.iter();
    endings
        .find_map(|(ending, spelt)| Some((word.strip_suffix(ending)?, *spelt)))
        .unwrap_or((word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Speaker, Turn};

    fn turns(texts: &[&str]) -> Vec<Turn> {
        let turn = |text: &&str| Turn {
            speaker: Speaker::User,
            text: (*text).to_owned(),
        };
        texts.iter().map(turn).collect()
    }

    fn dialogue(id: &str, texts: &[&str]) -> Dialogue {
        Dialogue {
            id: id.into(),
            persona: Vec::new(),
            turns: turns(texts),
            meta: Default::default(),
        }
    }

    fn item(history: &[&str], gold: &str) -> RankingItem {
        RankingItem {
            id: "item".into(),
            persona: Vec::new(),
            history: turns(history),
            candidates: vec![(gold.into(), "hits".into())],
        }
    }

    #[test]
    fn a_source_is_found_through_other_spelling_and_a_greeting_is_none() {
        let mut dialogues = vec![dialogue(
            "source",
            &["hello !", "I'm on a boat, can't talk .", "it's fine", "bye"],
        )];
        for id in ["a", "b", "c", "d"] {
            dialogues.push(dialogue(id, &["hello .", &format!("we are {id}")]));
        }
        let built_on_it = item(
            &["hello .", "i am on a boat , can not talk ."],
            "it is fine",
        );
        let found = held_out(&dialogues, &[built_on_it]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["source"]);
        let greeting = item(&["hello ."], "i like trains .");
        assert!(held_out(&dialogues, &[greeting]).is_empty());
    }

    #[test]
    fn items_of_a_dialogue_a_persona_or_a_third_item_are_one_family() {
        let of = |persona: &str, history: &[&str], gold: &str| RankingItem {
            persona: vec![persona.into(), "i am me .".into()],
            ..item(history, gold)
        };
        let mut items = vec![
            of("i sail .", &["hello .", "ahoy !", "a boat ?"], "yes"),
            of("i hike .", &["good day .", "and you ?"], "fine"),
            // The second utterance of its dialogue is its gold reply; another persona.
            of("i swim .", &["Hello ."], "ahoy !"),
            of("i ski .", &["hello .", "who ?"], "me"),
        ];
        assert_eq!(families(&items), [0, 1, 0, 2]);
        // The persona of the first, its sentences in another order, at the dialogue of the last.
        let mut link = of("i sail .", &["hello .", "who ?", "me"], "oh");
        link.persona.reverse();
        items.push(link);
        assert_eq!(families(&items), [0, 1, 0, 0, 0]);
    }

    #[test]
    fn less_than_half_of_a_history_is_no_leak() {
        let dialogues = [dialogue("d", &["the boat sank", "oh no", "it did"])];
        let other = item(&["the boat sank", "really ?", "when ?"], "today");
        assert!(held_out(&dialogues, &[other]).is_empty());
    }
}
