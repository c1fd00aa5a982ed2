//! Replies as they are kept for the report: `replies.jsonl`, one line a reply.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::data::{Prompt, Said};
use crate::eval::text::TextMeasures;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::sampled::Sampled;
use crate::store::{read_jsonl, write_jsonl};

/// A reply of a model, in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replied {
    /// What stands before the conversation, line by line.
    pub head: Vec<String>,
    /// What was said so far; a prompt that is mere text as its lines.
    pub history: Vec<Said>,
    /// What the data replies here.
    pub reference: String,
    pub reply: String,
    /// The ids that the reply was drawn as, with the EOS where one was.
    #[serde(default)]
    pub tokens: Vec<u32>,
    /// What the judge says of it, in words; nothing where nobody judged.
    pub verdict: Option<String>,
    /// The reply is of the kind that training is to do away with.
    pub failed: bool,
}

const FILE: &str = "replies.jsonl";

impl Replied {
    /// A reply to `prompt` that has not been judged.
    pub fn new(prompt: &Prompt, reference: &str, sampled: &Sampled) -> Self {
        let lines = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(str::to_owned).collect()
        };
        let (head, history) = match prompt.history() {
            Some(history) => (lines(&history.head()), history.turns.clone()),
            None => {
                let lines = lines(&prompt.text());
                (Vec::new(), lines.into_iter().map(Said::Note).collect())
            }
        };
        Self {
            head,
            history,
            reference: reference.trim().to_owned(),
            reply: sampled.text.trim().to_owned(),
            tokens: sampled.tokens.clone(),
            verdict: None,
            failed: false,
        }
    }

    /// Writes an artifact's replies.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(dir: &Path, replies: &[Self]) -> Result<()> {
        write_jsonl(&dir.join(FILE), replies)
    }

    /// An artifact's replies; none where it has none.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read(dir: &Path) -> Result<Vec<Self>> {
        let path = dir.join(FILE);
        match path.exists() {
            true => read_jsonl(&path),
            false => Ok(Vec::new()),
        }
    }
}

/// Adds what the surface of replies shows: length, variety, repetition.
pub fn measure_text(replies: &[Replied], measures: &mut Measures) {
    let texts: Vec<&str> = replies.iter().map(|it| it.reply.as_str()).collect();
    let text = TextMeasures::of(&texts);
    for (name, value) in [
        ("mean_length", text.mean_length),
        ("distinct_1", text.distinct_1),
        ("distinct_2", text.distinct_2),
        ("repetition", text.repetition),
        ("self_overlap", text.self_overlap),
        ("self_bleu", text.self_bleu),
    ] {
        if let Some(value) = value {
            measures.numbers.insert(name.into(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::chat::ChatTemplate;
    use crate::data::render::render;
    use crate::data::{Speaker, Turn, template};

    #[test]
    fn a_prompt_is_shown_by_what_was_said_whatever_wrote_it() {
        let turn = |speaker, text: &str| Turn {
            speaker,
            text: text.into(),
        };
        let turns = [
            turn(Speaker::User, "hello."),
            turn(Speaker::Bot, "hi."),
            turn(Speaker::User, "help?"),
        ];
        let prompt = template::prompt("Rules:\n- be kind.\n".into(), &turns);
        let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
        let chatml = ChatTemplate::new(source.into(), Default::default()).unwrap();
        let written = render(&prompt, &[], Some(&chatml)).unwrap().0;
        assert!(written.text().contains("<|im_start|>user"));
        let sampled = |text: &str| Sampled {
            text: text.into(),
            prompt: vec![1],
            tokens: vec![2, 0],
            finished: true,
        };
        for prompt in [&prompt, &*written] {
            let replied = Replied::new(prompt, " sure.", &sampled(" no. "));
            assert_eq!(replied.tokens, [2, 0]);
            assert_eq!(replied.head, ["Rules:", "- be kind."]);
            assert_eq!(replied.history, turns.clone().map(Said::Turn));
            assert_eq!((&*replied.reference, &*replied.reply), ("sure.", "no."));
        }
        let replied = Replied::new(&Prompt::Text("say it:".into()), "a", &sampled("b"));
        assert_eq!(replied.history, [Said::Note("say it:".into())]);
    }
}
