//! `rapport report`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::recipe::DEFAULT_PROFILE;
use crate::report;
use crate::store::BadInput;

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
            println!("{}", serde_json::to_string_pretty(&summary)?);
        } else {
            let written = report::write(&dir, &summary)?;
            print!("{}", report::terminal(&summary));
            println!("report: {}", written.html.display());
        }
        Ok(())
    }
}
