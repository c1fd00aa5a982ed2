//! The command line: one file a verb.

mod chosen;
mod data;
mod doctor;
mod init;
mod list;
mod model;
mod push;
mod report;
mod run;
mod score;
mod show;
mod validate;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::data::BadLines;
use crate::recipe::Problems;
use crate::store::{BadInput, Log, STOPPED, Stopped, Unread, say};

/// Trains dialogue models from preferences. Exit codes: 0 done, 1 failed, 2 bad input, 130
/// stopped by Ctrl-C or another signal.
#[derive(Parser)]
#[command(name = "rapport", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the recipes.
    List(list::List),
    /// Show a recipe resolved for a profile, or the keys of a stage kind.
    Show(show::Show),
    /// Write a commented recipe to start from.
    Init(init::Init),
    /// Check a recipe in all its profiles and report every problem at once.
    Validate(validate::Validate),
    /// Run a recipe: only the stages that are not done yet.
    Run(run::Run),
    /// Read all finished stages and say which are damaged.
    Verify(verify::Verify),
    /// Score dialogues with a reward model.
    Score(score::Score),
    /// Say what a file of rows holds.
    Data(data::Data),
    /// Upload a model to a hub.
    Push(push::Push),
    /// Write a model folder in another program's form.
    Export(model::export::Export),
    /// Take an adapter (LoRA) into its base's weights.
    Merge(model::merge::Merge),
    /// Print the last report of a recipe.
    Report(report::Report),
    /// Write the ledger of the papers' statements.
    Ledger(report::ledger::Ledger),
    /// Say what this machine and build can do.
    Doctor(doctor::Doctor),
}

/// Runs the program on its arguments.
pub fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("RAPPORT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Log)
        .init();
    let result = match Cli::parse().verb {
        Verb::List(verb) => verb.run(),
        Verb::Show(verb) => verb.run(),
        Verb::Init(verb) => verb.run(),
        Verb::Validate(verb) => verb.run(),
        Verb::Run(verb) => verb.run(),
        Verb::Verify(verb) => verb.run(),
        Verb::Score(verb) => verb.run(),
        Verb::Data(verb) => verb.run(),
        Verb::Push(verb) => verb.run(),
        Verb::Export(verb) => verb.run(),
        Verb::Merge(verb) => verb.run(),
        Verb::Report(verb) => verb.run(),
        Verb::Ledger(verb) => verb.run(),
        Verb::Doctor(verb) => verb.run(),
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if error.is::<Unread>() {
        return ExitCode::SUCCESS;
    }
    if let Some(problems) = error.downcast_ref::<Problems>() {
        say(&problems.to_string());
        return ExitCode::from(2);
    }
    if error.is::<Stopped>() {
        say(&format!("{error:#}"));
        return ExitCode::from(STOPPED);
    }
    say(&format!("error: {error:#}"));
    let bad_input = error.is::<BadInput>() || error.is::<BadLines>();
    ExitCode::from(if bad_input { 2 } else { 1 })
}
