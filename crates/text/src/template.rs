//! From dialogues to text: the persona template.
//!
//! ```text
//! Persona:
//! - i have a cat.
//! User: hello.
//! Bot: hi there.
//! User: do you have pets?
//! Bot:
//! ```
//!
//! and the completion is a space and the reply.

use crate::{Completion, Dialogue, Example, History, Prompt, Role, Said, Speaker, Turn};

/// Raised when the same dialogue begins to give another text, so that old artifacts are left.
// 3: where a chat template opens messages with the BOS, it is there once however many are dropped.
// 2: a dialogue stays one until it is tokenised, and is written by a model's own chat template where it has one.
pub const VERSION: u32 = 3;

/// The chat template of our own models. It writes a dialogue as is done here, so that a folder that has it is read as
/// one without a template.
pub const OWN: &str = include_str!("../../../assets/chat_template.jinja");

/// The prompt for a reply to `history`, which must end with the user's turn (or be empty).
pub fn persona_prompt(persona: &[String], history: &[Turn]) -> Prompt {
    Prompt::Dialogue(History {
        persona: Some(persona.to_vec()),
        ..said(String::new(), history)
    })
}

/// As [`persona_prompt`] under any `told` lines, the last of them with its end.
pub fn prompt(told: String, history: &[Turn]) -> Prompt {
    Prompt::Dialogue(said(told, history))
}

fn said(told: String, history: &[Turn]) -> History {
    History {
        persona: None,
        told,
        turns: history.iter().cloned().map(Said::Turn).collect(),
    }
}

/// A dialogue as the prompt before its last turn, and that turn: a space and its text.
///
/// # Panics
///
/// If there are no turns.
pub fn transcript(turns: &[Turn]) -> (Prompt, String) {
    let (last, history) = turns.split_last().expect("a dialogue has turns");
    let history = said(String::new(), history);
    let prompt = match last.speaker {
        Speaker::Bot => Prompt::Dialogue(history),
        Speaker::User => history.written(Speaker::User),
    };
    (prompt, format!(" {}", last.text))
}

/// What a reply follows where its relation to one sentence of a persona is asked for.
pub fn premise(sentence: &str) -> Prompt {
    Prompt::Text(format!("Persona: {sentence}\nBot:"))
}

/// What a persona begins with.
const PERSONA: &str = "Persona:\n";

/// A persona as it stands before the turns.
fn head(persona: &[String]) -> String {
    let lines = persona.iter().map(|line| format!("- {line}\n"));
    format!("{PERSONA}{}", lines.collect::<String>())
}

/// The persona that a message of the role system consists of, as users write it for our own models.
pub fn persona_of(message: &str) -> Option<Vec<String>> {
    let mut lines = message.trim_end().lines();
    let begins = lines.next()? == PERSONA.trim_end();
    let sentences: Option<Vec<String>> = lines
        .map(|line| line.strip_prefix("- ").map(str::to_owned))
        .collect();
    sentences.filter(|_| begins)
}

/// A turn as prompts show it, on a line of its own.
pub fn turn_text(turn: &Turn) -> String {
    format!("{}: {}\n", name(turn.speaker), turn.text)
}

/// What a speaker is called.
pub fn name(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::User => "User",
        Speaker::Bot => "Bot",
    }
}

impl History {
    /// All that stands before the first turn, whole lines.
    pub fn head(&self) -> String {
        let persona = self.persona.as_deref().map(head).unwrap_or_default();
        persona + &self.told
    }

    /// Its text before a turn of `next`.
    fn written(&self, next: Speaker) -> Prompt {
        let mut turns: Vec<String> = self.turns.iter().map(Said::line).collect();
        let last = turns.pop().unwrap_or_default();
        Prompt::parts(self.head(), turns, format!("{last}{}:", name(next)))
    }
}

impl Said {
    /// As prompts show it, on lines of its own.
    pub fn line(&self) -> String {
        match self {
            Said::Turn(turn) => turn_text(turn),
            Said::Note(note) => format!("{note}\n"),
        }
    }
}

impl Prompt {
    /// A dialogue as text; what is text stays as it is.
    pub fn written(&self) -> Prompt {
        match self {
            Prompt::Dialogue(history) => history.written(Speaker::Bot),
            text => text.clone(),
        }
    }

    /// The whole text, of a dialogue as it is written here.
    pub fn text(&self) -> String {
        self.text_from(0)
    }

    /// The text without the `dropped` oldest turns.
    pub fn text_from(&self, dropped: usize) -> String {
        match self {
            Prompt::Text(text) => text.clone(),
            Prompt::Parts {
                head, turns, tail, ..
            } => {
                let turns = &turns[dropped.min(turns.len())..];
                [head.as_str(), &turns.concat(), tail].concat()
            }
            Prompt::Dialogue(_) => self.written().text_from(dropped),
        }
    }

    /// How many turns can be dropped.
    pub fn droppable(&self) -> usize {
        match self {
            Prompt::Text(_) => 0,
            Prompt::Parts { turns, .. } => turns.len(),
            Prompt::Dialogue(History { turns, .. }) => turns.len().saturating_sub(1),
        }
    }

    /// What it says, for people and judges: without the marks of a chat template.
    pub fn shown(&self) -> String {
        match self {
            Prompt::Parts {
                says: Some(says), ..
            } => says.written(Speaker::Bot).text(),
            prompt => prompt.text(),
        }
    }
}

/// One example for each of the bot's turns, in order.
pub fn dialogue_examples(dialogue: &Dialogue) -> Vec<Example> {
    bot_turns(dialogue)
        .map(|at| Example {
            id: format!("{}:{at}", dialogue.id),
            group: dialogue.id.clone(),
            prompt: persona_prompt(&dialogue.persona, &dialogue.turns[..at]),
            completions: vec![Completion::new(
                format!(" {}", dialogue.turns[at].text),
                Role::Reply,
            )],
            meta: Default::default(),
        })
        .collect()
}

/// The turns before the bot's reply number `reply`, counted from 0.
pub fn history(dialogue: &Dialogue, reply: usize) -> Vec<Turn> {
    let at = bot_turns(dialogue).nth(reply).unwrap_or(0);
    dialogue.turns[..at].to_vec()
}

fn bot_turns(dialogue: &Dialogue) -> impl Iterator<Item = usize> {
    let turns = dialogue.turns.iter().enumerate();
    turns
        .filter(|(_, turn)| turn.speaker == Speaker::Bot)
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue() -> Dialogue {
        let turn = |speaker, text: &str| Turn {
            speaker,
            text: text.to_owned(),
        };
        Dialogue {
            id: "d".into(),
            persona: vec!["i have a cat.".into()],
            turns: vec![
                turn(Speaker::User, "hello."),
                turn(Speaker::Bot, "hi."),
                turn(Speaker::User, "pets?"),
                turn(Speaker::Bot, "a cat."),
            ],
            meta: Default::default(),
        }
    }

    #[test]
    fn each_reply_goes_on_from_the_last_prompt() {
        let examples = dialogue_examples(&dialogue());
        assert_eq!(examples.len(), 2);
        let first = examples[0].prompt.text() + &examples[0].completions[0].text;
        let second = examples[1].prompt.text();
        assert_eq!(
            second,
            "Persona:\n- i have a cat.\nUser: hello.\nBot: hi.\nUser: pets?\nBot:"
        );
        assert!(second.starts_with(&first));
        assert_eq!(examples[1].prompt.droppable(), 2);
        assert_eq!(history(&dialogue(), 1).len(), 3);
    }

    #[test]
    fn another_persona_changes_the_head_alone() {
        let prompt = &dialogue_examples(&dialogue())[0].prompt;
        assert_eq!(prompt.persona(), ["i have a cat."]);
        let other = prompt.with_persona(&["i have a dog.".into()]);
        assert_eq!(other.persona(), ["i have a dog."]);
        assert_eq!(
            other.text(),
            prompt.text().replace("i have a cat.", "i have a dog.")
        );
    }
}
