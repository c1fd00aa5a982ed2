//! `rapport export`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::model::gguf::Encoding;
use crate::model::hf::adapter::is_adapter;
use crate::stage::artifact::gguf;
use crate::store::{BadInput, OrBadInput, all_regular, check_artifact, print, say};

/// Writes a model folder in another program's form.
///
/// GGUF: one file for llama.cpp and what builds on it, with weights, tokenizer, chat template and the tokens that end
/// a reply. Matrices are stored as F16, or as Q8_0 in eight bits with a scale for 32 numbers; vectors as F32.
#[derive(Args)]
pub struct Export {
    /// A model folder, or the artifact of a stage that makes a model.
    model: PathBuf,
    /// The type of the matrices.
    #[arg(long, value_name = "TYPE", ignore_case = true)]
    gguf: Type,
    /// Write here; by default NAME-TYPE.gguf in the current folder.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    #[value(name = "F16")]
    F16,
    #[value(name = "Q8_0")]
    Q8_0,
}

impl Export {
    pub fn run(self) -> Result<()> {
        all_regular(&self.model).or_bad_input()?;
        check_artifact(&self.model)?;
        let inner = self.model.join("model");
        let dir = match inner.join("config.json").exists() {
            true => inner,
            false => self.model.clone(),
        };
        if is_adapter(&dir) {
            let dir = dir.display();
            let message = format!(
                "{dir}: an adapter; take it into its base first: rapport merge {dir} --out NEW"
            );
            return Err(BadInput(message).into());
        }
        if !dir.join("config.json").exists() {
            let model = self.model.display();
            let message = format!("{model}: no model folder: it has no config.json");
            return Err(BadInput(message).into());
        }
        let name = name(&self.model);
        let (encoding, kind) = match self.gguf {
            Type::F16 => (Encoding::F16, "F16"),
            Type::Q8_0 => (Encoding::Q8_0, "Q8_0"),
        };
        let out = self.out;
        let out = out.unwrap_or_else(|| PathBuf::from(format!("{name}-{kind}.gguf")));
        if out.is_dir() {
            let message = format!("--out {} is a folder; name a file", out.display());
            return Err(BadInput(message).into());
        }
        for note in gguf::write(&dir, &name, encoding, &out)? {
            say(&note);
        }
        print(&format!("{}\n", out.display()))
    }
}

/// What the model is called: its folder, or the one above where that is called `model`.
fn name(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
    let own = name(&path).filter(|it| it != "model");
    own.or_else(|| name(path.parent()?))
        .unwrap_or_else(|| "model".to_owned())
}
