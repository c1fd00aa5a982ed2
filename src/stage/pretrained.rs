//! `pretrained`: a Hugging Face model folder that the user brings.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::data::Tokenizer;
use crate::model::hf;
use crate::stage::folder::model_dir;
use crate::stage::keys::Keys;
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::measures::Measures;

pub const KIND: Kind = Kind {
    name: "pretrained",
    about: "a Hugging Face model folder, checked and linked",
    produces: Produces::Model,
    version: 1,
    uses_backend: false,
    read,
};

struct Pretrained {
    path: PathBuf,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Pretrained {
        path: keys
            .doc("folder with config.json, safetensors weights and the tokenizer's files")
            .path("path"),
    })
}

impl Stage for Pretrained {
    fn run(&self, context: &Context) -> Result<()> {
        let path = self
            .path
            .canonicalize()
            .with_context(|| format!("cannot resolve {}", self.path.display()))?;
        let (config, _) = hf::open(&path)?;
        let tokenizer = Tokenizer::open(&path)?;
        anyhow::ensure!(
            tokenizer.vocab_size() <= config.vocab_size,
            "{}: the tokenizer has {} tokens, but the model only {}; the folder mixes two models",
            path.display(),
            tokenizer.vocab_size(),
            config.vocab_size
        );
        // The weights are not copied: a folder can hold many gigabytes, and its content is part of
        // this stage's identity.
        let link = model_dir(&context.dir);
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link)?;
        }
        symlink(&path, &link)
            .with_context(|| format!("cannot link {} to {}", link.display(), path.display()))?;
        let mut measures = Measures::default();
        measures
            .numbers
            .insert("parameters".into(), config.parameters() as f64);
        measures.write(&context.dir)
    }
}
