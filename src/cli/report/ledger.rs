//! `rapport ledger`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::recipe::Shelf;
use crate::run::ledger;
use crate::store::{print, say};

/// Writes the ledger of the papers' statements from the summaries that are kept of runs.
#[derive(Args)]
pub struct Ledger {
    /// The folder of ledger.toml, ledger.md and runs/.
    #[arg(long, default_value = "docs/papers", value_name = "DIR")]
    folder: PathBuf,
    /// First keep the summary of a finished run: its folder, such as runs/persona-dpo/sandbox.
    #[arg(long, value_name = "DIR")]
    add: Vec<PathBuf>,
    /// Only say whether ledger.md is what would be written.
    #[arg(long, conflicts_with = "add")]
    check: bool,
    /// The folder of recipes, alone; by default ./experiments where it exists, then those that the program carries.
    #[arg(long, value_name = "DIR")]
    experiments: Option<PathBuf>,
}

impl Ledger {
    pub fn run(self) -> Result<()> {
        let ledger = ledger::Ledger {
            folder: self.folder,
            shelf: Shelf::new(self.experiments.as_deref()),
        };
        for run in &self.add {
            say(&format!("kept: {}", ledger.add(run)?.display()));
        }
        let (file, current) = ledger.write(self.check)?;
        let file = file.display();
        match (self.check, current) {
            (true, false) => bail!(
                "{file} is not what its statements and runs say; write it with: rapport ledger"
            ),
            (_, true) => print(&format!("{file} is current\n")),
            (false, false) => print(&format!("written: {file}\n")),
        }
    }
}
