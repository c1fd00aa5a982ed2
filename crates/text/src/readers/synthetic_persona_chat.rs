//! Synthetic-Persona-Chat (Jandaghi et al., arXiv 2312.10007): CSV with the personas of two users and
//! a generated conversation, one `User 1: ...` or `User 2: ...` to a line.

use std::path::Path;

use anyhow::Result;

use crate::formats::csv_rows;
use crate::lines::{BadLines, read_utf8, stem};
use crate::{Dialogue, Speaker, Turn};

const PERSONAS: [&str; 2] = ["user 1 personas", "user 2 personas"];
const CONVERSATION: &str = "Best Generated Conversation";

/// Reads dialogues; the bot is user 2, whose persona is taken, since user 1 nearly always opens.
///
/// Lines that name no speaker go on with the turn before them (recipes, stage directions); ahead of
/// the first name, they are said by whoever is not named first. Turns of one speaker in a row become
/// one. Line breaks inside a turn become spaces, and asterisks around a line are taken off; the rest
/// of the text is kept as it stands. An id is the file's name and the line on which the row begins.
///
/// # Errors
/// An unreadable file; or every malformed row, with what was expected there.
pub fn synthetic_persona_chat(path: &Path) -> Result<Vec<Dialogue>> {
    let text = read_utf8(path)?;
    let mut bad = BadLines::new(path);
    let mut rows = csv_rows(&text, b',', &mut bad).into_iter();
    let (_, header) = rows.next().unwrap_or_default();
    let column = |name: &str| header.iter().position(|cell| cell.trim() == name);
    let columns = [PERSONAS[0], PERSONAS[1], CONVERSATION].map(column);
    let [Some(_), Some(persona), Some(conversation)] = columns else {
        bad.add(
            1,
            format!(
                "expected the columns {:?}, {:?} and {CONVERSATION:?}, found {header:?}",
                PERSONAS[0], PERSONAS[1]
            ),
        );
        return bad.or(Vec::new());
    };
    let mut dialogues = Vec::new();
    for (line, cells) in rows {
        if cells.len() != header.len() {
            bad.add(
                line,
                format!("expected {} cells, found {}", header.len(), cells.len()),
            );
            continue;
        }
        let turns = turns(&cells[conversation]);
        if !turns.iter().any(|turn| turn.speaker == Speaker::Bot) {
            bad.add(
                line,
                format!(
                    "{CONVERSATION}: expected lines that begin with \"User 1:\" or \"User 2:\""
                ),
            );
            continue;
        }
        let lines = cells[persona].lines().map(str::trim);
        dialogues.push(Dialogue {
            id: format!("{}:{line}", stem(path)),
            persona: lines.filter(|l| !l.is_empty()).map(str::to_owned).collect(),
            turns,
            meta: Default::default(),
        });
    }
    bad.or(dialogues)
}

fn turns(conversation: &str) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    let mut before = Vec::new();
    for line in conversation.lines() {
        let line = line.trim_matches(|c: char| c == '*' || c.is_whitespace());
        if line.is_empty() {
            continue;
        }
        let (speaker, text) = named(line);
        match (speaker, turns.last_mut()) {
            (None, None) => before.push(text),
            (None, Some(last)) => join(&mut last.text, text),
            (Some(speaker), Some(last)) if last.speaker == speaker => join(&mut last.text, text),
            (Some(speaker), last) => {
                if last.is_none() && !before.is_empty() {
                    let text = std::mem::take(&mut before).join(" ");
                    let speaker = match speaker {
                        Speaker::User => Speaker::Bot,
                        Speaker::Bot => Speaker::User,
                    };
                    turns.push(Turn { speaker, text });
                }
                turns.push(Turn {
                    speaker,
                    text: text.to_owned(),
                });
            }
        }
    }
    turns.retain(|turn| !turn.text.is_empty());
    turns
}

fn named(line: &str) -> (Option<Speaker>, &str) {
    for (name, speaker) in [("User 1:", Speaker::User), ("User 2:", Speaker::Bot)] {
        if let Some(text) = line.strip_prefix(name) {
            let text = text.trim_start_matches(|c: char| c == '*' || c.is_whitespace());
            return (Some(speaker), text);
        }
    }
    (None, line)
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "user 1 personas,user 2 personas,Best Generated Conversation\r\n";

    fn read(text: &str) -> Result<Vec<Dialogue>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat.csv");
        std::fs::write(&path, text).unwrap();
        synthetic_persona_chat(&path)
    }

    #[test]
    fn the_bot_is_user_two_and_every_word_is_kept() {
        let dialogues = read(&format!(
            "{HEADER}\"I ski.\nI am, \"\"well\"\", tall.\",\"I sail.\nI bake.\",\"* * *\n*User 1:* Hi!\n\
             User 2: Here it is:\n\n1. flour\n[They bake.]\nUser 2: Done.\nUser 1: Bye!\"\r\n\
             I ski.,I sail.,\"Hello there.\nUser 2: Hi.\"\r\n\r\n"
        ))
        .unwrap();
        assert_eq!(dialogues.len(), 2);
        assert_eq!(dialogues[0].persona, ["I sail.", "I bake."]);
        let text = |d: &Dialogue| -> Vec<(Speaker, String)> {
            d.turns
                .iter()
                .map(|t| (t.speaker, t.text.clone()))
                .collect()
        };
        assert_eq!(
            text(&dialogues[0]),
            [
                (Speaker::User, "Hi!".into()),
                (
                    Speaker::Bot,
                    "Here it is: 1. flour [They bake.] Done.".into()
                ),
                (Speaker::User, "Bye!".into()),
            ]
        );
        assert_eq!(
            text(&dialogues[1]),
            [
                (Speaker::User, "Hello there.".into()),
                (Speaker::Bot, "Hi.".into())
            ]
        );
        assert_eq!(dialogues[1].id, "chat:12");
    }

    #[test]
    fn bad_rows_are_named_by_line() {
        let error = read(&format!(
            "{HEADER}a,b\nI ski.,I sail.,nobody speaks\n\"a,b\n"
        ))
        .unwrap_err()
        .to_string();
        for expected in [
            "chat.csv:2: expected 3 cells, found 2",
            "chat.csv:3: Best Generated Conversation: expected lines",
            "chat.csv:4: a quoted cell is never closed",
        ] {
            assert!(error.contains(expected), "{expected}\nnot in\n{error}");
        }
        let error = read("a,b\n1,2\n").unwrap_err().to_string();
        assert!(
            error.contains("chat.csv:1: expected the columns"),
            "{error}"
        );
    }
}
