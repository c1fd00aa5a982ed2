//! What people say of themselves in their dialogues, found without labels: turns that name what a sentence of the
//! speaker's own persona names and hardly anybody else does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::data::real_persona_chat_personas::{Chat, Chats};

/// A name is rare where no more than one turn in so many has it.
const RARE: usize = 1000;

/// Turns with a name that make it no common one, however few turns there are.
const FEW: usize = 3;

/// A turn of a dialogue, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub chat: usize,
    pub turn: usize,
}

/// Where a person names one thing of their persona in statements, at least two dialogues among them.
#[derive(Debug, PartialEq, Eq)]
pub struct Matter {
    pub person: String,
    pub name: String,
    pub places: Vec<Place>,
}

/// What is said on personas.
pub struct Statements {
    /// By person, then name.
    pub matters: Vec<Matter>,
    /// All statements of anybody on their own persona, each once.
    pub all: Vec<Place>,
    /// The rare names of each person's persona.
    names: BTreeMap<String, BTreeSet<String>>,
}

impl Statements {
    /// Finds them.
    pub fn of(found: &Chats) -> Self {
        let names = rare_names(found);
        let mut places: BTreeMap<(&str, String), Vec<Place>> = BTreeMap::new();
        let mut all = BTreeSet::new();
        for (chat, dialogue) in found.chats.iter().enumerate() {
            // A reply to nothing is no item.
            for (turn, (who, text)) in dialogue.turns.iter().enumerate().skip(1) {
                let person: &str = &dialogue.people[*who];
                if asks(text) {
                    continue;
                }
                for name in named(text).intersection(&names[person]) {
                    let place = Place { chat, turn };
                    all.insert(place);
                    places
                        .entry((person, name.clone()))
                        .or_default()
                        .push(place);
                }
            }
        }
        let several = |places: &Vec<Place>| {
            places.first().map(|it| it.chat) != places.last().map(|it| it.chat)
        };
        let matters = places.into_iter().filter(|(_, places)| several(places));
        Self {
            matters: matters
                .map(|((person, name), places)| Matter {
                    person: person.to_owned(),
                    name,
                    places,
                })
                .collect(),
            all: all.into_iter().collect(),
            names,
        }
    }

    /// Whether a text names something that this person's persona names and hardly anybody does.
    pub fn touches(&self, person: &str, text: &str) -> bool {
        let names = self.names.get(person);
        names.is_some_and(|names| !named(text).is_disjoint(names))
    }
}

/// The text at a place, and who says it.
pub fn said(chats: &[Chat], place: Place) -> (&str, &str) {
    let chat = &chats[place.chat];
    let (who, text) = &chat.turns[place.turn];
    (text, &chat.people[*who])
}

fn rare_names(found: &Chats) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (person, persona) in &found.personas {
        let own = persona.iter().flat_map(|sentence| named(sentence));
        names.insert(person.clone(), own.collect());
    }
    let mut turns_with: HashMap<&str, usize> = HashMap::new();
    for name in names.values().flatten() {
        turns_with.insert(name, 0);
    }
    let mut turns = 0;
    for (_, text) in found.chats.iter().flat_map(|chat| &chat.turns) {
        turns += 1;
        for name in named(text) {
            if let Some(count) = turns_with.get_mut(&*name) {
                *count += 1;
            }
        }
    }
    let most = FEW.max(turns / RARE);
    let common: BTreeSet<String> = turns_with
        .into_iter()
        .filter(|(_, count)| *count > most)
        .map(|(name, _)| name.to_owned())
        .collect();
    for own in names.values_mut() {
        own.retain(|name| !common.contains(name));
    }
    names
}

/// Whether a turn asks, so that it states nothing of its speaker.
fn asks(text: &str) -> bool {
    let end = text.trim_end_matches(['。', '．', '！', '!', '.', '、', '…', 'ー', '〜']);
    text.contains(['？', '?']) || end.ends_with('か')
}

/// What a text names: runs of two kanji or more, and of three katakana or more. Japanese writes most content words so,
/// and its endings in hiragana.
fn named(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut run = (Script::Other, String::new());
    for letter in text.chars().chain(['。']) {
        let script = Script::of(letter);
        if script != run.0 {
            let (of, name) = std::mem::replace(&mut run, (script, String::new()));
            if name.chars().count() >= of.shortest() {
                found.insert(name);
            }
        }
        if script != Script::Other {
            run.1.push(letter);
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Kanji,
    Katakana,
    Other,
}

impl Script {
    fn of(letter: char) -> Self {
        match letter {
            '\u{4e00}'..='\u{9fff}' | '々' => Self::Kanji,
            '\u{30a1}'..='\u{30f6}' | 'ー' => Self::Katakana,
            _ => Self::Other,
        }
    }

    /// Letters of the shortest name.
    fn shortest(self) -> usize {
        match self {
            Self::Kanji => 2,
            Self::Katakana => 3,
            Self::Other => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_runs_of_one_script_and_questions_state_nothing() {
        let found: Vec<String> = named("猫とジグソーパズルが趣味です。ドア、兵庫県")
            .into_iter()
            .collect();
        assert_eq!(found, ["ジグソーパズル", "兵庫県", "趣味"]);
        for (text, expected) in [
            ("猫はお好きですか？", true),
            ("そうなんですか。", true),
            ("そうなんですかー！", true),
            ("猫が好きです。", false),
        ] {
            assert_eq!(asks(text), expected, "{text}");
        }
    }
}
