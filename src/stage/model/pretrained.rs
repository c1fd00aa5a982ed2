//! `pretrained` and `pretrained-reward-model`: a Hugging Face model folder that the user brings.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::data::Tokenizer;
use crate::model::{DecoderConfig, hf};
use crate::stage::artifact::folder::{self, model_dir};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::Keys;
use crate::stage::settings::produces::Produces;
use crate::store::OrBadInput as _;

pub const MODEL: Kind = Kind {
    name: "pretrained",
    about: "a Hugging Face model folder, checked and linked",
    produces: Produces::Model,
    // 2: heads that are stored apart, added tokens and value heads are read as transformers does.
    version: 2,
    uses_backend: false,
    modules: modules::MODELS,
    read: |keys| read(keys, false),
};

pub const REWARD_MODEL: Kind = Kind {
    name: "pretrained-reward-model",
    about: "a Hugging Face folder of a model with a scoring head, checked and linked",
    produces: Produces::RewardModel,
    // 2: heads that are stored apart, added tokens and value heads are read as transformers does.
    version: 2,
    uses_backend: false,
    modules: modules::MODELS,
    read: |keys| read(keys, true),
};

struct Pretrained {
    path: PathBuf,
    /// Whether a head that scores sequences is wanted, rather than a language model's.
    scores: bool,
}

fn read(keys: &mut Keys<'_>, scores: bool) -> Box<dyn Stage> {
    let path = keys
        .doc("folder with config.json, safetensors weights and the tokenizer's files, or \"hub:ORG/NAME@REVISION\"")
        .model_path("path");
    if !keys.is_on_hub("path") && path.exists() && !path.join("config.json").is_file() {
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

impl Pretrained {
    /// The folder, what its model is like, and remarks on how it is read.
    fn checked(&self) -> Result<(PathBuf, DecoderConfig, Vec<String>)> {
        let path = self
            .path
            .canonicalize()
            .with_context(|| format!("cannot resolve {}", self.path.display()))?;
        let (config, checkpoint) = hf::open(&path)?;
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
        folder::fits(&path, &config, &tokenizer)?;
        let notes = checkpoint
            .notes
            .iter()
            .chain(tokenizer.notes())
            .cloned()
            .collect();
        Ok((path, config, notes))
    }
}

impl Stage for Pretrained {
    fn run(&self, context: &Context) -> Result<()> {
        let (path, config, notes) = self.checked().or_bad_input()?;
        // The weights are not copied: a folder can hold many gigabytes, and its content is part of
        // this stage's identity.
        let link = model_dir(&context.dir);
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link)?;
        }
        symlink(&path, &link)
            .with_context(|| format!("cannot link {} to {}", link.display(), path.display()))?;
        let mut measures = Measures {
            notes,
            ..Measures::default()
        };
        measures
            .numbers
            .insert("parameters".into(), config.parameters() as f64);
        measures.write(&context.dir)
    }
}
