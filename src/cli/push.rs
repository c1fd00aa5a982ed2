//! `rapport push`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use tempfile::TempDir;

use crate::hub;
use crate::stage::artifact::adapter;
use crate::store::{Stop, print};

/// Uploads a model's or an adapter's folder with its card, by the token in HF_TOKEN; what the repository has already is not
/// sent again.
#[derive(Args)]
pub struct Push {
    /// The folder, or a finished stage's, whose model it is.
    dir: PathBuf,
    /// The repository, ORG/NAME; it is made where there is none.
    repo: String,
    /// Make it private, where it is made.
    #[arg(long)]
    private: bool,
    /// A branch in place of main; it is made where there is none.
    #[arg(long, value_name = "BRANCH")]
    revision: Option<String>,
}

impl Push {
    pub fn run(self) -> Result<()> {
        let inner = self.dir.join("model");
        let has = |name: &str| self.dir.join(name).exists();
        let dir = match has("config.json") || has("adapter_config.json") || !inner.is_dir() {
            true => self.dir,
            false => inner,
        };
        let revision = self.revision.as_deref();
        let others = adapter::for_others(&dir)?;
        let dir = others.as_ref().map_or(dir.as_path(), TempDir::path);
        let done = hub::push(dir, &self.repo, self.private, revision, &Stop::install())?;
        print(&format!("{done}\n"))
    }
}
