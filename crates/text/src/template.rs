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

use crate::{Completion, Dialogue, Example, Prompt, Role, Speaker, Turn};

/// Raised when the same dialogue begins to give another text, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// The prompt for a reply to `history`, which must end with the user's turn (or be empty).
pub fn persona_prompt(persona: &[String], history: &[Turn]) -> Prompt {
    prompt(head(persona), history)
}

/// As [`persona_prompt`] under any `head`, which ends its last line.
pub fn prompt(head: String, history: &[Turn]) -> Prompt {
    let mut turns: Vec<String> = history.iter().map(turn_text).collect();
    let last = turns.pop().unwrap_or_default();
    Prompt::parts(head, turns, format!("{last}Bot:"))
}

/// A dialogue as the prompt before its last turn, and that turn: a space and its text.
///
/// # Panics
///
/// If there are no turns.
pub fn transcript(turns: &[Turn]) -> (Prompt, String) {
    let (last, history) = turns.split_last().expect("a dialogue has turns");
    let mut history: Vec<String> = history.iter().map(turn_text).collect();
    let before = history.pop().unwrap_or_default();
    let prompt = Prompt::parts(
        String::new(),
        history,
        format!("{before}{}:", name(last.speaker)),
    );
    (prompt, format!(" {}", last.text))
}

/// What a persona begins with.
const PERSONA: &str = "Persona:\n";

fn head(persona: &[String]) -> String {
    let lines = persona.iter().map(|line| format!("- {line}\n"));
    format!("{PERSONA}{}", lines.collect::<String>())
}

/// A turn as prompts show it, on a line of its own.
pub fn turn_text(turn: &Turn) -> String {
    format!("{}: {}\n", name(turn.speaker), turn.text)
}

fn name(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::User => "User",
        Speaker::Bot => "Bot",
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

impl Prompt {
    /// The persona's sentences that the prompt begins with; none where it has no persona.
    pub fn persona(&self) -> Vec<String> {
        let Prompt::Parts { head, .. } = self else {
            return Vec::new();
        };
        let Some(lines) = head.strip_prefix(PERSONA) else {
            return Vec::new();
        };
        let sentences = lines.lines().filter_map(|line| line.strip_prefix("- "));
        sentences.map(str::to_owned).collect()
    }

    /// The same history under another persona; plain text has no persona to replace.
    pub fn with_persona(&self, persona: &[String]) -> Prompt {
        match self {
            Prompt::Text(text) => Prompt::Text(text.clone()),
            Prompt::Parts { turns, tail, .. } => {
                Prompt::parts(head(persona), turns.clone(), tail.clone())
            }
        }
    }
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
