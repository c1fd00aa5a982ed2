//! RealPersonaChat (Yamashita et al., 2023, PACLIC 37) as persona dialogues: two people chat as themselves, and each has
//! written ten sentences on themselves beforehand.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rapport_store::OrBadInput;
use serde::Deserialize;

use super::real_persona_chat::{FORM, Record, records};
use crate::archive::visit;
use crate::{Dialogue, Speaker, Turn};

/// The file of people beside the dialogues.
const PEOPLE: &str = "interlocutors.json";

#[derive(Deserialize)]
struct Person {
    persona: Vec<String>,
}

/// Dialogues, and who took part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chats {
    pub chats: Vec<Chat>,
    /// The sentences of each person's persona.
    pub personas: BTreeMap<String, Vec<String>>,
    /// Dialogues that were there more than once.
    pub repeated: usize,
}

/// A dialogue of two people.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    pub id: String,
    pub people: [String; 2],
    /// Who of the two speaks, 0 or 1, in turn; and the text, which is not empty.
    pub turns: Vec<(usize, String)>,
}

impl Chat {
    /// The dialogue with one of the two as the bot. Its id is the dialogue's number and the bot's name.
    pub fn view(&self, bot: usize, persona: &[String]) -> Dialogue {
        Dialogue {
            id: format!("{}:{}", self.id, self.people[bot]),
            persona: persona.to_vec(),
            turns: self.history(bot, self.turns.len()),
            meta: Default::default(),
        }
    }

    /// The first `turns` turns with one of the two as the bot.
    pub fn history(&self, bot: usize, turns: usize) -> Vec<Turn> {
        let turns = self.turns[..turns].iter();
        turns
            .map(|(who, text)| Turn {
                speaker: match *who == bot {
                    true => Speaker::Bot,
                    false => Speaker::User,
                },
                text: text.clone(),
            })
            .collect()
    }
}

/// Reads the archive, or the folder it was unpacked to. Line breaks within a turn become spaces, turns without text are
/// left out, and several of one person in a row are one. A dialogue that is there again is read once.
///
/// # Errors
/// What is no such archive or folder, or has no people; a dialogue in another form, of people without a persona, or in
/// which one of the two says nothing, by its file.
pub fn real_persona_chat_personas(path: &Path) -> Result<Chats> {
    let mut found = Chats::default();
    visit(path, &FORM, PEOPLE, |_, bytes| {
        let people: BTreeMap<String, Person> = serde_json::from_slice(bytes)
            .context("expected people by name, each with a persona: a list of sentences; fetch the data again")
            .or_bad_input()?;
        for (name, Person { persona }) in people {
            let sentences = persona.iter().map(|it| it.trim().to_owned());
            let sentences: Vec<String> = sentences.filter(|it| !it.is_empty()).collect();
            found.personas.insert(name, sentences);
        }
        Ok(())
    })?;
    let Chats {
        chats, personas, ..
    } = &mut found;
    found.repeated = records(path, |record| {
        for name in &record.interlocutors {
            ensure!(
                personas.get(name).is_some_and(|it| !it.is_empty()),
                "interlocutors: {name:?} has no persona in {PEOPLE}"
            );
        }
        chats.push(chat(record)?);
        Ok(())
    })?;
    Ok(found)
}

fn chat(record: &Record) -> Result<Chat> {
    let [one, other] = &record.interlocutors;
    ensure!(
        one != other,
        "interlocutors: expected two people, found {one:?} twice"
    );
    let mut turns: Vec<(usize, String)> = Vec::new();
    for said in &record.utterances {
        let (who, text) = (usize::from(said.interlocutor_id == *other), said.line());
        match turns.last_mut() {
            _ if text.is_empty() => {}
            Some((last, before)) if *last == who => *before = format!("{before} {text}"),
            _ => turns.push((who, text)),
        }
    }
    ensure!(
        turns.len() > 1,
        "utterances: expected something of both {one:?} and {other:?}"
    );
    Ok(Chat {
        id: format!("{:05}", record.dialogue_id),
        people: record.interlocutors.clone(),
        turns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn dialogue(id: u64) -> Value {
        let says = |who: &str, text: &str| json!({"interlocutor_id": who, "text": text});
        json!({
            "dialogue_id": id,
            "interlocutors": ["AA", "AB"],
            "utterances": [says("AA", "今日は。"), says("AB", "はい、\n今日は！"), says("AA", " "), says("AB", "猫は？")],
            "evaluations": [],
        })
    }

    fn read(people: &Value, dialogues: &[Value]) -> Result<Chats, String> {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("real_persona_chat/dialogues");
        std::fs::create_dir_all(&folder).unwrap();
        let beside = dir.path().join("real_persona_chat/interlocutors.json");
        std::fs::write(beside, people.to_string()).unwrap();
        for (index, dialogue) in dialogues.iter().enumerate() {
            std::fs::write(folder.join(format!("{index}.json")), dialogue.to_string()).unwrap();
        }
        real_persona_chat_personas(dir.path()).map_err(|error| format!("{error:#}"))
    }

    fn people() -> Value {
        json!({
            "AA": {"interlocutor_id": "AA", "persona": ["猫がいる。", " "], "personality": {}},
            "AB": {"interlocutor_id": "AB", "persona": ["犬がいる。"], "personality": {}},
        })
    }

    #[test]
    fn each_of_two_is_the_bot_with_a_persona_of_their_own() {
        let found = read(&people(), &[dialogue(7), dialogue(7)]).unwrap();
        assert_eq!((found.chats.len(), found.repeated), (1, 1));
        assert_eq!(found.personas["AA"], ["猫がいる。"]);
        let view = |bot: usize| {
            let chat = &found.chats[0];
            chat.view(bot, &found.personas[&chat.people[bot]])
        };
        let (first, second) = (view(0), view(1));
        assert_eq!((&*first.id, &*second.id), ("00007:AA", "00007:AB"));
        assert_eq!(
            (&*second.persona[0], second.persona.len()),
            ("犬がいる。", 1)
        );
        let said = |it: &Dialogue| -> Vec<(Speaker, String)> {
            let turns = it.turns.iter();
            turns.map(|it| (it.speaker, it.text.clone())).collect()
        };
        let [hi, there] = ["今日は。", "はい、 今日は！ 猫は？"].map(str::to_owned);
        assert_eq!(
            said(&first),
            [(Speaker::Bot, hi.clone()), (Speaker::User, there.clone())]
        );
        assert_eq!(said(&second), [(Speaker::User, hi), (Speaker::Bot, there)]);
    }

    #[test]
    fn who_has_no_persona_or_says_nothing_is_named() {
        let mut alone = people();
        alone.as_object_mut().unwrap().remove("AB");
        let error = read(&alone, &[dialogue(1)]).unwrap_err();
        assert!(
            error.contains("dialogues/0.json") && error.contains("\"AB\" has no persona"),
            "{error}"
        );
        let mut silent = dialogue(1);
        silent["utterances"] = json!([{"interlocutor_id": "AA", "text": "今日は。"}]);
        let error = read(&people(), &[silent]).unwrap_err();
        assert!(error.contains("something of both"), "{error}");
        let error = read(&json!({"AA": 1}), &[dialogue(1)]).unwrap_err();
        assert!(
            error.contains("interlocutors.json: expected people by name"),
            "{error}"
        );
    }
}
