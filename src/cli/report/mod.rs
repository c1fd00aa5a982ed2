//! `rapport report`, and the ledger of what reports said.

pub mod ledger;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::recipe::{DEFAULT_PROFILE, is_name};
use crate::report;
use crate::store::{BadInput, Foreign, Owned, print, print_json};

/// Writes the report of a finished run again from its summary, and prints it.
#[derive(Args)]
pub struct Report {
    /// The recipe's name.
    recipe: String,
    #[arg(long, default_value = DEFAULT_PROFILE)]
    profile: String,
    /// Folder of all runs.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Print summary.json instead of tables.
    #[arg(long)]
    json: bool,
}

impl Report {
    pub fn run(self) -> Result<()> {
        for name in [&self.recipe, &self.profile] {
            if !is_name(name) {
                return Err(
                    BadInput(format!("{name:?} is no name of a recipe or a profile")).into(),
                );
            }
        }
        let dir = self.runs.join(&self.recipe).join(&self.profile);
        if !dir.join("summary.json").exists() {
            return Err(BadInput(format!(
                "{} holds no finished run; start one with: rapport run {} --profile {}",
                dir.display(),
                self.recipe,
                self.profile
            ))
            .into());
        }
        let summary = report::read(&dir)?;
        if self.json {
            return print_json(&summary);
        }
        let out = Owned::check(dir, &report::FILES, &[], Foreign::SetAside)?;
        let written = report::write(&out, &summary)?;
        let text = report::terminal(&summary);
        print(&format!("{text}report: {}\n", written.html.display()))
    }
}
