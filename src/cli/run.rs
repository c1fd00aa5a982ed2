//! `rapport run`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::chosen::Chosen;
use crate::recipe::Request;
use crate::run::{Places, dry_run, execute};
use crate::store::{BadInput, Stop, print, print_json, say};
use crate::{backend, recipe, report};

/// Runs a recipe's stages that are not done yet, then writes and prints the report.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    chosen: Chosen,
    /// Folder of all runs; finished stages are kept under its .artifacts.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// The run's own folder, in place of RUNS/RECIPE/PROFILE.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Stages that may run at a time; by default as many as there are cores, but those of large models alone, and 1 where they
    /// share a GPU.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print what would run, and run nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write step metrics as TensorBoard's event files too, into tensorboard/STAGE of the run's folder.
    #[arg(long)]
    tensorboard: bool,
    /// Print summary.json instead of tables.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub fn run(self) -> Result<()> {
        backend::check(self.chosen.backend()).map_err(|error| BadInput(error.to_string()))?;
        let plan = recipe::plan(&Request {
            pinned: true,
            ..self.chosen.request()
        })?;
        let mut places = Places::new(&plan, &self.runs, self.out)?;
        places.tensorboard = self.tensorboard;
        if self.dry_run {
            return print(&dry_run(&plan, &places)?);
        }
        say(&format!("recipe: {}", plan.from));
        let (summary, written) = execute(&plan, &places, self.jobs, &Stop::install())?;
        if self.json {
            return print_json(&summary);
        }
        let text = report::terminal(&summary);
        print(&format!("{text}report: {}\n", written.html.display()))
    }
}
