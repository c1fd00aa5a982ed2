//! `rapport validate`.

use anyhow::Result;
use clap::Args;

use super::Chosen;
use crate::recipe;

/// Checks a recipe in all its profiles; nothing is started.
#[derive(Args)]
pub struct Validate {
    #[command(flatten)]
    chosen: Chosen,
}

impl Validate {
    pub fn run(self) -> Result<()> {
        let absent = recipe::validate(&self.chosen.request())?;
        println!("{}: no problems", self.chosen.recipe);
        if !absent.is_empty() {
            println!("profiles that need files you have not named yet:");
            for problem in absent {
                println!("  {problem}");
            }
        }
        Ok(())
    }
}
