//! `preferences`, `completions` and `labels`: rows that the user brings, in TRL's columns.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::data::chat::ChatTemplate;
use crate::data::rows::{labelled_rows, preference_rows, sft_rows};
use crate::data::{Example, Examples};
use crate::stage::corpus::{Group, Split};
use crate::stage::folder::model_dir;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::store::{read_json, stream_jsonl, write_json, write_with};

pub const PREFERENCES: Kind = Kind {
    name: "preferences",
    about: "rows of prompt/chosen/rejected, plain or conversational",
    produces: Produces::Pairs,
    // 4: margins are kept.
    version: 4,
    uses_backend: false,
    read: |keys| read(keys, preference_rows, false),
};

pub const COMPLETIONS: Kind = Kind {
    name: "completions",
    about: "rows of messages, prompt/completion or text",
    produces: Produces::Rows,
    // 2: rows know their dialogue.
    version: 3,
    uses_backend: false,
    read: |keys| read(keys, sft_rows, true),
};

pub const LABELS: Kind = Kind {
    name: "labels",
    about: "rows of prompt/completion/label, plain or conversational",
    produces: Produces::Labels,
    version: 1,
    uses_backend: false,
    read: |keys| read(keys, labelled_rows, false),
};

/// Reads the rows of a file.
type Reader = for<'a> fn(&Path, Option<&'a ChatTemplate>) -> Result<Examples<'a>>;

/// How the examples beside it are drawn: `rows.json` in the artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsSettings {
    pub shuffle: bool,
    pub by_dialogue: bool,
    /// Where not by dialogue: the replies of one row are drawn together.
    pub by_row: bool,
}

const FILE: &str = "rows.json";

impl RowsSettings {
    /// Reads the artifact's file.
    pub fn read(artifact: &Path) -> Result<Self> {
        read_json(&artifact.join(FILE))
    }

    /// Reads the artifact's file, if it holds rows at all.
    pub fn find(artifact: &Path) -> Result<Option<Self>> {
        let path = artifact.join(FILE);
        path.exists().then(|| read_json(&path)).transpose()
    }

    /// What a batch counts.
    pub fn group(self) -> Group {
        if self.by_dialogue {
            Group::Dialogue
        } else if self.by_row {
            Group::Row
        } else {
            Group::None
        }
    }
}

/// Writes examples as an artifact's split.
pub fn write_examples(
    dir: &Path,
    split: Split,
    examples: impl IntoIterator<Item = Result<Example>>,
) -> Result<()> {
    let path = dir.join(format!("{}.jsonl", split.name()));
    write_with(&path, |out| {
        for example in examples {
            serde_json::to_writer(&mut *out, &example?)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Writes how the artifact's examples are drawn.
pub fn write_settings(dir: &Path, settings: RowsSettings) -> Result<()> {
    write_json(&dir.join(FILE), &settings)
}

/// Reads a split of an artifact, one example after the other; one that was never written is empty.
pub fn read_examples(artifact: &Path, split: Split) -> Result<Examples<'static>> {
    let path = artifact.join(format!("{}.jsonl", split.name()));
    if path.exists() {
        Ok(Box::new(stream_jsonl(&path)?))
    } else {
        Ok(Box::new(std::iter::empty()))
    }
}

struct Rows {
    reader: Reader,
    model: Option<StageRef>,
    train: PathBuf,
    valid: Option<PathBuf>,
    test: Option<PathBuf>,
    settings: RowsSettings,
}

fn read(keys: &mut Keys<'_>, reader: Reader, by_row: bool) -> Box<dyn Stage> {
    Box::new(Rows {
        reader,
        model: keys
            .doc("whose chat template renders conversational rows")
            .optional_stage("model", &[Produces::Model]),
        train: keys.doc("JSON Lines").file("train"),
        valid: keys.doc("JSON Lines").optional_file("valid"),
        test: keys
            .doc("JSON Lines of prompts to reply to and be judged on")
            .optional_file("test"),
        settings: RowsSettings {
            shuffle: keys
                .doc("draw rows in a new order each epoch; false keeps the file's order")
                .bool("shuffle", true),
            by_dialogue: Group::read(keys, "none") == Group::Dialogue,
            by_row,
        },
    })
}

impl Stage for Rows {
    fn run(&self, context: &Context) -> Result<()> {
        let template = match &self.model {
            Some(model) => ChatTemplate::find(&model_dir(context.input(model)))?,
            None => None,
        };
        let files = [
            (Split::Train, Some(&self.train)),
            (Split::Valid, self.valid.as_ref()),
            (Split::Test, self.test.as_ref()),
        ];
        for (split, path) in files {
            let Some(path) = path else { continue };
            let examples = (self.reader)(path, template.as_ref())?;
            write_examples(&context.dir, split, examples)?;
        }
        write_settings(&context.dir, self.settings)
    }
}
