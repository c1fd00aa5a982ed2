//! PersonaChat as the ConvAI2 challenge spread it (Zhang et al., arXiv 1801.07243), in ParlAI's text
//! format: numbered lines, a dialogue beginning wherever the number is 1 again.
//!
//! ```text
//! 1 your persona: i have a cat.
//! 2 hello . how are you ?<TAB>fine , thanks .
//! ```
//!
//! A line of a turn holds what the user says and the bot's reply; a reward and candidate replies may
//! follow them and are left out.

use std::path::Path;

use anyhow::Result;

use crate::lines::{BadLines, numbered, read_utf8, stem};
use crate::{Dialogue, Speaker, Turn};

const PERSONA: &str = "your persona:";
const PARTNER: &str = "partner's persona:";
/// What ParlAI writes for the user where the bot opens the dialogue.
const SILENCE: &str = "__SILENCE__";

/// Reads dialogues; the bot is the side whose persona is given. Text is kept as it stands. The
/// partner's persona, where the file has it, is kept as `partner_persona` in `meta`. An id is the
/// file's name and the line on which the dialogue begins.
///
/// # Errors
/// An unreadable file; or every malformed line, with what was expected there.
pub fn convai2(path: &Path) -> Result<Vec<Dialogue>> {
    let text = read_utf8(path)?;
    let mut bad = BadLines::new(path);
    let mut dialogues: Vec<Dialogue> = Vec::new();
    let mut last = 0;
    for (line, text) in numbered(&text) {
        let Some((number, rest)) = numbered_line(text) else {
            bad.add(line, "expected a number, a space and text");
            continue;
        };
        if number == 1 {
            dialogues.push(Dialogue {
                id: format!("{}:{line}", stem(path)),
                persona: Vec::new(),
                turns: Vec::new(),
                meta: Default::default(),
            });
        } else if number != last + 1 {
            bad.add(
                line,
                format!("expected number {} or 1, found {number}", last + 1),
            );
        }
        last = number;
        // Only a first line with another number than 1 leaves nothing to add to; it is reported above.
        if let Some(dialogue) = dialogues.last_mut()
            && let Err(message) = add(dialogue, rest)
        {
            bad.add(line, message);
        }
    }
    for dialogue in &dialogues {
        if dialogue.turns.is_empty() {
            let line = dialogue.id.rsplit(':').next().and_then(|n| n.parse().ok());
            bad.add(line.unwrap_or(1), "the dialogue has no turns");
        }
    }
    if dialogues.is_empty() {
        bad.add(1, "expected dialogues in ParlAI's text format, found none");
    }
    bad.or(dialogues)
}

/// A line's number, always with another one above it, and what follows.
fn numbered_line(line: &str) -> Option<(u64, &str)> {
    let (number, rest) = line.split_once(' ')?;
    Some((number.parse::<u32>().ok()?.into(), rest))
}

fn add(dialogue: &mut Dialogue, rest: &str) -> Result<(), String> {
    if let Some(line) = rest.strip_prefix(PERSONA) {
        dialogue.persona.push(line.trim().to_owned());
        return Ok(());
    }
    if let Some(line) = rest.strip_prefix(PARTNER) {
        let lines = dialogue
            .meta
            .entry("partner_persona")
            .or_insert_with(|| Vec::<String>::new().into());
        if let Some(lines) = lines.as_array_mut() {
            lines.push(line.trim().into());
        }
        return Ok(());
    }
    let mut fields = rest.split('\t');
    let (user, bot) = (fields.next().unwrap_or_default(), fields.next());
    let bot = bot.ok_or(
        "expected \"your persona: ...\" or a turn: the user's text, a tab, the bot's reply",
    )?;
    if user.trim().is_empty() || bot.trim().is_empty() {
        return Err("a turn without text".into());
    }
    let mut turn = |speaker, text: &str| {
        dialogue.turns.push(Turn {
            speaker,
            text: text.to_owned(),
        });
    };
    if user != SILENCE {
        turn(Speaker::User, user);
    }
    turn(Speaker::Bot, bot);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Dialogue>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("valid.txt");
        std::fs::write(&path, text).unwrap();
        convai2(&path)
    }

    #[test]
    fn a_number_of_one_begins_a_dialogue() {
        let dialogues = read(
            "1 your persona: i sail .\n2 partner's persona: i ski .\n3 ahoy !\thello , you .\t\ta|b\n\
             1 your persona: i bake .\n2 __SILENCE__\tbread ?\n3 yes .\tfine .\n",
        )
        .unwrap();
        assert_eq!(dialogues.len(), 2);
        assert_eq!(dialogues[0].persona, ["i sail ."]);
        assert_eq!(dialogues[0].turns[1].text, "hello , you .");
        assert_eq!(dialogues[0].meta["partner_persona"][0], "i ski .");
        assert_eq!(dialogues[1].id, "valid:4");
        let speakers: Vec<_> = dialogues[1].turns.iter().map(|t| t.speaker).collect();
        assert_eq!(speakers, [Speaker::Bot, Speaker::User, Speaker::Bot]);
    }

    #[test]
    fn a_number_that_none_can_follow_is_no_number() {
        let error = read("1 a\tb\n18446744073709551615 c\td\n3 e\tf\n").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("valid.txt:2: expected a number"), "{error}");
        assert!(error.contains("valid.txt:3: expected number 2"), "{error}");
        let error = read("1 a\tb\n4294967295 c\td\n3 e\tf\n").unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("valid.txt:3: expected number 4294967296"),
            "{error}"
        );
    }

    #[test]
    fn every_bad_line_is_named() {
        let error = read(
            "1 your persona: i sail .\n3 ahoy !\thello\nodd\n4 no tab\n5  \tx\n1 your persona: a\n",
        )
        .unwrap_err()
        .to_string();
        for expected in [
            "valid.txt:2: expected number 2 or 1, found 3",
            "valid.txt:3: expected a number",
            "valid.txt:4: expected \"your persona: ...\" or a turn",
            "valid.txt:5: a turn without text",
            "valid.txt:6: the dialogue has no turns",
        ] {
            assert!(error.contains(expected), "{expected}\nnot in\n{error}");
        }
        assert!(read("\n").unwrap_err().to_string().contains("found none"));
    }
}
