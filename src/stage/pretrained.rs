//! `pretrained` and `pretrained-reward-model`: a Hugging Face model folder that the user brings.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::data::Tokenizer;
use crate::model::hf;
use crate::stage::folder::model_dir;
use crate::stage::keys::Keys;
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::measures::Measures;

pub const MODEL: Kind = Kind {
    name: "pretrained",
    about: "a Hugging Face model folder, checked and linked",
    produces: Produces::Model,
    version: 1,
    uses_backend: false,
    read: |keys| read(keys, false),
};

pub const REWARD_MODEL: Kind = Kind {
    name: "pretrained-reward-model",
    about: "a Hugging Face folder of a model with a scoring head, checked and linked",
    produces: Produces::RewardModel,
    version: 1,
    uses_backend: false,
    read: |keys| read(keys, true),
};

struct Pretrained {
    path: PathBuf,
    /// Whether a head that scores sequences is wanted, rather than a language model's.
    scores: bool,
}

fn read(keys: &mut Keys<'_>, scores: bool) -> Box<dyn Stage> {
    let path = keys
        .doc("folder with config.json, safetensors weights and the tokenizer's files")
        .path("path");
    if path.exists() && !path.join("config.json").is_file() {
        keys.problem(
            "path",
            format!(
                "expected a model folder, found no config.json in {}",
                path.display()
            ),
        );
    }
    Box::new(Pretrained { path, scores })
}

impl Stage for Pretrained {
    fn run(&self, context: &Context) -> Result<()> {
        let path = self
            .path
            .canonicalize()
            .with_context(|| format!("cannot resolve {}", self.path.display()))?;
        let (config, _) = hf::open(&path)?;
        ensure!(
            config.score.is_some() == self.scores,
            "{}: {}",
            path.display(),
            match self.scores {
                true =>
                    "a language model, where one with a scoring head (ForSequenceClassification) is wanted; \
                     train one with a stage of kind reward-model",
                false =>
                    "has a head that scores sequences (ForSequenceClassification), where a language model is \
                     wanted; a stage of kind pretrained-reward-model takes it as a reward model",
            }
        );
        let tokenizer = Tokenizer::open(&path)?;
        ensure!(
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
