//! How the texts are written that a reward model learned from, so that what it scores later is written alike.

use std::path::Path;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::render::by_template;
use crate::data::{Example, Prompt, Tokenizer};
use crate::store::{BadInput, read_json, write_json};

/// What a reward model's texts were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Texts {
    /// Conversations by the chat template of its folder.
    Messages,
    /// `User:` and `Bot:` lines.
    Transcript,
    /// Plain text.
    Plain,
}

/// The format of a reward model's texts, in a file of its folder that transformers leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    pub texts: Texts,
    /// Whether an EOS follows what no chat template has rendered.
    pub append_eos: bool,
}

const FILE: &str = "rapport.json";

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scores: Option<Format>,
    /// What the chat template was given for every row.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    chat_template_kwargs: Map<String, Value>,
}

impl Format {
    /// Rated dialogues, and premises with hypotheses: as they end, without more.
    pub const fn bare(texts: Texts) -> Self {
        Self {
            texts,
            append_eos: false,
        }
    }

    /// The format of preference pairs for a model with that tokenizer: as in TRL, an EOS follows where no template ends a
    /// completion.
    ///
    /// # Errors
    /// [`BadInput`] where some are rendered by a chat template and some are not; a template that cannot be read.
    pub fn of_pairs(examples: &[Example], tokenizer: &Tokenizer) -> Result<Self> {
        let first = examples.first();
        let rendered = match first {
            Some(first) => by_template(&first.prompt, tokenizer)?,
            None => false,
        };
        for other in examples {
            if by_template(&other.prompt, tokenizer)? != rendered {
                let message = format!(
                    "example {}: some rows are conversations and some are text, but a reward model reads texts of \
                     one form; train it on one of them",
                    other.id
                );
                return Err(BadInput(message).into());
            }
        }
        let texts = match first {
            Some(_) if rendered => Texts::Messages,
            Some(Example {
                prompt: Prompt::Text(_),
                ..
            })
            | None => Texts::Plain,
            Some(_) => Texts::Transcript,
        };
        Ok(Self {
            texts,
            append_eos: texts != Texts::Messages,
        })
    }

    /// Writes it into a model folder, with what the chat template was given for every text.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, model: &Path, kwargs: Map<String, Value>) -> Result<()> {
        std::fs::create_dir_all(model)?;
        let file = File {
            scores: Some(self),
            chat_template_kwargs: kwargs,
        };
        write_json(&model.join(FILE), &file)
    }

    /// What the chat template of a model folder is given for every text.
    ///
    /// # Errors
    /// A damaged file.
    pub fn kwargs(model: &Path) -> Result<Map<String, Value>> {
        let path = model.join(FILE);
        match path.exists() {
            true => Ok(read_json::<File>(&path)?.chat_template_kwargs),
            false => Ok(Map::new()),
        }
    }

    /// The format that a model folder states, and whether it does: one that is not ours reads conversations by its
    /// chat template if it `has_template`, else transcripts.
    ///
    /// # Errors
    /// A damaged file, or one that asks for a template where there is none.
    pub fn of(model: &Path, has_template: bool) -> Result<(Self, bool)> {
        let path = model.join(FILE);
        let stated = match path.exists() {
            true => read_json::<File>(&path)?.scores,
            false => None,
        };
        if stated.is_some_and(|it| it.texts == Texts::Messages) && !has_template {
            bail!(
                "{}: the model learned from conversations, but its folder has no chat template; copy \
                 chat_template.jinja of the folder it was trained from",
                path.display()
            );
        }
        let usual = match has_template {
            true => Texts::Messages,
            false => Texts::Transcript,
        };
        Ok((stated.unwrap_or(Self::bare(usual)), stated.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::chat::ChatTemplate;
    use crate::data::template;

    #[test]
    fn pairs_of_dialogues_are_conversations_where_the_model_has_a_template_of_its_own() {
        let example = Example {
            id: "1".into(),
            group: String::new(),
            prompt: template::prompt("Be kind.\n".into(), &[]),
            completions: Vec::new(),
            meta: Map::new(),
        };
        let read = |source: &str| ChatTemplate::new(source.into(), Map::new()).unwrap();
        let (own, other) = (read(template::OWN), read("{{ messages }}"));
        for (template, texts) in [
            (None, Texts::Transcript),
            (Some(own), Texts::Transcript),
            (Some(other), Texts::Messages),
        ] {
            let tokenizer = Tokenizer::train_bpe(vec!["hi".into()], 270).unwrap();
            let tokenizer = tokenizer.with_template(template.map(Arc::new));
            let format = Format::of_pairs(std::slice::from_ref(&example), &tokenizer).unwrap();
            assert_eq!(format.texts, texts);
            assert_eq!(format.append_eos, texts == Texts::Transcript);
        }
    }

    #[test]
    fn a_folder_says_how_its_texts_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let of = |has_template| Format::of(dir.path(), has_template).unwrap();
        assert_eq!(of(true), (Format::bare(Texts::Messages), false));
        assert_eq!(of(false), (Format::bare(Texts::Transcript), false));
        for texts in [Texts::Transcript, Texts::Plain, Texts::Messages] {
            let format = Format {
                texts,
                append_eos: true,
            };
            let given = Map::from_iter([("deep".to_owned(), false.into())]);
            format.write(dir.path(), given.clone()).unwrap();
            assert_eq!(Format::kwargs(dir.path()).unwrap(), given);
            assert_eq!(of(true), (format, true));
        }
        let error = Format::of(dir.path(), false).unwrap_err().to_string();
        assert!(error.contains("no chat template"), "{error}");
    }
}
