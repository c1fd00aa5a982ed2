//! `tokenizer`: a byte-level BPE trained on dialogues or rows, or a tokenizer that the user brings.

use std::path::PathBuf;

use anyhow::Result;

use crate::data::Tokenizer;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{Keys, StageRef};
use crate::stage::settings::produces::{EXAMPLES, Produces};
use crate::stage::settings::splits::Split;

pub const KIND: Kind = Kind {
    name: "tokenizer",
    about: "a byte-level BPE trained on dialogues or rows, or one brought by `path`",
    produces: Produces::Tokenizer,
    version: 1,
    uses_backend: false,
    modules: modules::TOKENS,
    read,
};

enum Source {
    Train {
        data: StageRef,
        split: Split,
        vocab_size: usize,
    },
    Files(PathBuf),
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let source = keys.variant_by_presence(
        "path",
        |keys| Source::Files(keys.tokenizer_path("path")),
        |keys| Source::Train {
            data: keys.stage("data", EXAMPLES),
            split: Split::read(keys, "train"),
            vocab_size: keys.usize("vocab_size", 1000, 260..=1_000_000),
        },
    );
    Box::new(source)
}

impl Stage for Source {
    fn run(&self, context: &Context) -> Result<()> {
        let tokenizer = match self {
            Source::Files(path) => Tokenizer::open(path)?,
            Source::Train {
                data,
                split,
                vocab_size,
            } => {
                let texts = split.texts(context.input(data))?;
                Tokenizer::train_bpe(texts, *vocab_size)?
            }
        };
        let mut measures = Measures::default();
        for note in tokenizer.notes() {
            measures.note(note);
        }
        if !measures.notes.is_empty() {
            measures.write(&context.dir)?;
        }
        tokenizer.save(&context.dir)
    }
}
