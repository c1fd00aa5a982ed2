//! Turns out of a dialogue as files hold it: lines with or without names, or a list.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{Speaker, Turn};

/// Longest name that is looked for ahead of a colon, in characters.
const LONGEST_NAME: usize = 30;
/// The keys of a turn that name its speaker, and those that hold its text, the likelier first.
const NAME_KEYS: [&str; 5] = ["speaker", "role", "from", "name", "sender"];
const TEXT_KEYS: [&str; 5] = ["text", "content", "value", "utterance", "message"];

/// Who is who in the dialogues of a file. Names are compared without regard to case.
#[derive(Clone, Debug, PartialEq)]
pub struct Sides {
    pub user: Vec<String>,
    pub bot: Vec<String>,
    /// Names whose turns are left out, such as that of instructions to the bot.
    pub ignored: Vec<String>,
    /// Who begins where nobody is named, so that speakers alternate.
    pub first: Speaker,
}

impl Default for Sides {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            user: names(&["user", "human"]),
            bot: names(&["bot", "system", "assistant", "chatbot", "model"]),
            ignored: Vec::new(),
            first: Speaker::User,
        }
    }
}

/// A dialogue's turns, none of them empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turns {
    pub turns: Vec<Turn>,
    /// Turns without text, which are left out.
    pub empty: usize,
    /// Turns of ignored names.
    pub ignored: usize,
}

/// Who says something.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Of(Speaker),
    Ignored,
}

impl Sides {
    fn of(&self, name: &str) -> Option<Side> {
        let name = name.trim().to_lowercase();
        let is_in = |names: &[String]| names.iter().any(|it| it.to_lowercase() == name);
        if is_in(&self.bot) {
            Some(Side::Of(Speaker::Bot))
        } else if is_in(&self.user) {
            Some(Side::Of(Speaker::User))
        } else {
            is_in(&self.ignored).then_some(Side::Ignored)
        }
    }

    fn remedy(&self) -> String {
        format!(
            "user_names is {:?}, bot_names {:?} and ignored_names {:?}",
            self.user, self.bot, self.ignored
        )
    }

    /// Reads a dialogue.
    ///
    /// - A string is read line by line, or, where it begins with `[`, as JSON. A line `NAME: text` begins a turn, and
    ///   one without a name goes on with it; where no line has a name, each is a turn and speakers alternate.
    /// - A list of strings is read as lines; one of objects by their keys `speaker` (or `role`, `from`, `name`,
    ///   `sender`) and `text` (or `content`, `value`, `utterance`, `message`); one of pairs as name and text.
    ///
    /// Line breaks within a turn become spaces, as prompts have a line for each turn.
    ///
    /// # Errors
    /// Another form, names that are not known, and two names on one side, in words.
    pub fn turns(&self, dialogue: &Value) -> Result<Turns, String> {
        match dialogue {
            Value::String(text) if text.trim_start().starts_with('[') => {
                match serde_json::from_str::<Value>(text) {
                    Ok(list @ Value::Array(_)) => self.turns(&list),
                    _ => self.lines(text.lines()),
                }
            }
            Value::String(text) => self.lines(text.lines()),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                self.lines(items.iter().filter_map(Value::as_str))
            }
            Value::Array(items) => {
                let named: Result<Vec<(&str, &str)>, String> =
                    items.iter().enumerate().map(turn_of).collect();
                self.named(named?)
            }
            other => Err(format!(
                "expected a dialogue as a string or a list, found {}",
                shown(other)
            )),
        }
    }

    fn lines<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Result<Turns, String> {
        let lines: Vec<&str> = lines.map(str::trim).filter(|it| !it.is_empty()).collect();
        let split: Vec<Option<(&str, &str)>> = lines
            .iter()
            .map(|line| name_of(line).filter(|(name, _)| self.of(name).is_some()))
            .collect();
        if split.iter().any(Option::is_some) {
            return self.continued(&lines, &split);
        }
        let names: BTreeSet<&str> = lines
            .iter()
            .filter_map(|line| Some(name_of(line)?.0))
            .collect();
        let all_named = lines.iter().all(|line| name_of(line).is_some());
        if all_named && lines.len() > names.len() && !names.is_empty() {
            return Err(format!(
                "its lines begin with the names {names:?}, of which none is known; {}",
                self.remedy()
            ));
        }
        let turns = lines.iter().enumerate().map(|(index, line)| Turn {
            speaker: match (index % 2, self.first) {
                (0, first) => first,
                (_, Speaker::User) => Speaker::Bot,
                (_, Speaker::Bot) => Speaker::User,
            },
            text: (*line).to_owned(),
        });
        Ok(Turns {
            turns: turns.collect(),
            ..Default::default()
        })
    }

    /// Lines of which some are named: the others go on with the turn before them.
    fn continued(&self, lines: &[&str], split: &[Option<(&str, &str)>]) -> Result<Turns, String> {
        let mut named: Vec<(&str, String)> = Vec::new();
        for (line, split) in lines.iter().zip(split) {
            match (split, named.last_mut()) {
                (Some((name, text)), _) => named.push((name, (*text).to_owned())),
                (None, Some((_, text))) => {
                    text.push(' ');
                    text.push_str(line);
                }
                (None, None) => {
                    return Err(format!(
                        "expected its first line to name who speaks, as others do, found {line:?}; {}",
                        self.remedy()
                    ));
                }
            }
        }
        self.named(named.iter().map(|(name, text)| (*name, text.as_str())))
    }

    fn named<'a>(
        &self,
        named: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Turns, String> {
        let mut found = Turns::default();
        let mut known: [Option<&str>; 2] = [None; 2];
        for (index, (name, text)) in named.into_iter().enumerate() {
            let side = self.of(name).ok_or_else(|| {
                format!(
                    "turn {}: unknown speaker {name:?}; {}",
                    index + 1,
                    self.remedy()
                )
            })?;
            let Side::Of(speaker) = side else {
                found.ignored += 1;
                continue;
            };
            let place = &mut known[usize::from(speaker == Speaker::Bot)];
            let first = *place.get_or_insert(name);
            if first.to_lowercase() != name.to_lowercase() {
                return Err(format!(
                    "turn {}: {first:?} and {name:?} are on one side; {}",
                    index + 1,
                    self.remedy()
                ));
            }
            let words: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .collect();
            if words.is_empty() {
                found.empty += 1;
                continue;
            }
            found.turns.push(Turn {
                speaker,
                text: words.join(" "),
            });
        }
        Ok(found)
    }
}

/// Name and text of a line `NAME: text`.
fn name_of(line: &str) -> Option<(&str, &str)> {
    let (name, text) = line.split_once([':', '：'])?;
    let name = name.trim();
    let short = !name.is_empty() && name.chars().count() <= LONGEST_NAME;
    short.then(|| (name, text.trim()))
}

/// Name and text of a list's item.
fn turn_of((index, item): (usize, &Value)) -> Result<(&str, &str), String> {
    let found = match item {
        Value::Object(turn) => Option::zip(first_of(turn, &NAME_KEYS), first_of(turn, &TEXT_KEYS)),
        Value::Array(pair) => match &pair[..] {
            [Value::String(name), Value::String(text)] => Some((name.as_str(), text.as_str())),
            _ => None,
        },
        _ => None,
    };
    found.ok_or_else(|| {
        format!(
            "turn {}: expected an object with one of {NAME_KEYS:?} and one of {TEXT_KEYS:?}, or a pair of name and \
             text, found {}",
            index + 1,
            shown(item)
        )
    })
}

fn first_of<'a>(turn: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| turn.get(*key)?.as_str())
}

/// A value as a message shows it: an object by its keys.
pub(super) fn shown(value: &Value) -> String {
    if let Value::Object(object) = value {
        let keys: Vec<&String> = object.keys().collect();
        return format!("an object with the keys {keys:?}");
    }
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The turns as text, `u ` or `b ` ahead of each.
    fn read(sides: &Sides, dialogue: Value) -> Result<Vec<String>, String> {
        let turns = sides.turns(&dialogue)?.turns;
        let side = |turn: &Turn| match turn.speaker {
            Speaker::User => 'u',
            Speaker::Bot => 'b',
        };
        Ok(turns
            .iter()
            .map(|turn| format!("{} {}", side(turn), turn.text))
            .collect())
    }

    #[test]
    fn every_form_gives_the_same_turns() {
        let sides = Sides::default();
        for form in [
            json!("User: hi: all\nSystem: ho\nmore\n\nuser： bye"),
            json!("hi: all\nho more\nbye"),
            json!("[\"hi: all\", \"ho more\", \"bye\"]"),
            json!(["Human: hi: all", "Bot: ho\nmore", "Human: bye"]),
            json!([{"role": "user", "content": "hi: all"}, {"role": "assistant", "content": "ho\nmore"},
                {"role": "user", "content": "bye"}]),
            json!([["user", "hi: all"], ["bot", "ho more"], ["user", "bye"]]),
        ] {
            let found = read(&sides, form.clone()).unwrap();
            assert_eq!(found, ["u hi: all", "b ho more", "u bye"], "{form}");
        }
        let sides = Sides {
            first: Speaker::Bot,
            ..sides
        };
        assert_eq!(read(&sides, json!("ho\nhi")).unwrap(), ["b ho", "u hi"]);
        // Brackets that open no list are text.
        assert_eq!(read(&sides, json!("[ho]\nhi")).unwrap(), ["b [ho]", "u hi"]);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let sides = Sides {
            bot: vec!["assistant".into()],
            ignored: vec!["system".into()],
            ..Default::default()
        };
        let found = sides
            .turns(&json!(
                "system: be kind\nuser: hi\nassistant:\nuser: still there?\nassistant: yes"
            ))
            .unwrap();
        assert_eq!((found.turns.len(), found.empty, found.ignored), (3, 1, 1));
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let sides = Sides::default();
        for (form, expected) in [
            (
                json!("A: hi\nB: ho\nA: bye"),
                "begin with the names {\"A\", \"B\"}",
            ),
            (
                json!("hi\nBot: ho"),
                "expected its first line to name who speaks",
            ),
            (
                json!([["A", "hi"]]),
                "turn 1: unknown speaker \"A\"; user_names is",
            ),
            (
                json!([{"who": "A"}]),
                "turn 1: expected an object with one of",
            ),
            (
                json!([["system", "be kind"], ["user", "hi"], ["assistant", "ho"]]),
                "turn 3: \"system\" and \"assistant\" are on one side",
            ),
            (
                json!(3),
                "expected a dialogue as a string or a list, found 3",
            ),
        ] {
            let error = read(&sides, form).unwrap_err();
            assert!(error.contains(expected), "{expected}\nnot in\n{error}");
        }
    }
}
