//! `pretrained` and `pretrained-reward-model`: a Hugging Face model folder that the user brings.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::data::Tokenizer;
use crate::model::hf::adapter::{base_on_hub, holds_its_base, is_adapter};
use crate::model::{DecoderConfig, hf};
use crate::stage::artifact::adapter;
use crate::stage::artifact::folder::{self, model_dir};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::Keys;
use crate::stage::settings::produces::Produces;
use crate::store::{BadInput, OrBadInput as _};

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
    /// The base's folder, where `path` is an adapter's.
    base: Option<PathBuf>,
    /// Whether a head that scores sequences is wanted, rather than a language model's.
    scores: bool,
}

fn read(keys: &mut Keys<'_>, scores: bool) -> Box<dyn Stage> {
    let path = keys
        .doc("folder with config.json, safetensors weights and the tokenizer's files, or \"hub:ORG/NAME@REVISION\"")
        .model_path("path");
    let on_hub = keys.is_on_hub("path");
    let base = base(keys, &path, on_hub);
    if !on_hub && path.exists() && !is_adapter(&path) && !path.join("config.json").is_file() {
        keys.problem(
            "path",
            format!(
                "expected a model folder, found no config.json in {}",
                path.display()
            ),
        );
    }
    Box::new(Pretrained { path, base, scores })
}

/// The base of an adapter: the one that is given, or that its folder names, here or on a hub. Its content takes part in
/// the stage's identity, as the adapter's own; so what an adapter on a hub names cannot be asked for this early.
fn base(keys: &mut Keys<'_>, path: &Path, on_hub: bool) -> Option<PathBuf> {
    let adapts = is_adapter(path);
    let named = match adapts && !on_hub && !keys.has("base") {
        true => adapter::named_base(path).map(Some),
        false => Ok(None),
    };
    let (named, problem) = match named {
        Ok(named) => (named, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let base = keys
        .doc("where path is an adapter's folder (PEFT), its base; where left out, the one that the folder names")
        .model_path_or_found("base", named);
    if let Some(problem) = problem {
        keys.problem("path", problem);
    }
    if base.is_some() && !on_hub && path.exists() && !adapts {
        keys.problem(
            "base",
            "path is no adapter's folder, which alone has a base; leave it out",
        );
    }
    base
}

impl Pretrained {
    /// What the model of the folder is like, and remarks on how it is read.
    fn checked(&self, path: &Path) -> Result<(DecoderConfig, Vec<String>)> {
        let (config, checkpoint) = hf::open(path)?;
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
        let tokenizer = Tokenizer::open(path)?;
        folder::fits(path, &config, &tokenizer)?;
        let notes = checkpoint
            .notes
            .iter()
            .chain(tokenizer.notes())
            .cloned()
            .collect();
        Ok((config, notes))
    }
}

impl Stage for Pretrained {
    fn run(&self, context: &Context) -> Result<()> {
        let resolved = |path: &Path| {
            let found = path.canonicalize();
            found.with_context(|| format!("cannot resolve {}", path.display()))
        };
        let path = resolved(&self.path)?;
        let link = model_dir(&context.dir);
        match link.symlink_metadata() {
            Ok(old) if old.is_dir() => std::fs::remove_dir_all(&link)?,
            Ok(_) => std::fs::remove_file(&link)?,
            Err(_) => {}
        }
        let beside = || holds_its_base(&path).then(|| path.clone());
        let base = self.base.clone().or_else(beside);
        if base.is_some() != is_adapter(&path) {
            let (name, path) = (base_on_hub(&path), path.display());
            let message = match name {
                _ if base.is_some() => {
                    format!("{path}: no adapter's folder, which alone has a base; leave base out")
                }
                Some(name) => format!("{path}: an adapter; say what of: base = \"hub:{name}\""),
                None => format!("{path}: an adapter; say what of: base = PATH"),
            };
            return Err(BadInput(message).into());
        }
        let (config, notes) = match &base {
            Some(base) => {
                adapter::together(&path, &resolved(base)?, &link)?;
                self.checked(&link).or_bad_input()?
            }
            // The weights are not copied: a folder can hold many gigabytes, and its content is part of
            // this stage's identity.
            None => {
                let checked = self.checked(&path).or_bad_input()?;
                symlink(&path, &link).with_context(|| {
                    format!("cannot link {} to {}", link.display(), path.display())
                })?;
                checked
            }
        };
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
