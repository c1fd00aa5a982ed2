//! `rapport validate`.

use anyhow::Result;
use clap::Args;

use super::chosen::Chosen;
use crate::recipe;
use crate::store::print;

/// Checks a recipe in all its profiles; nothing is started.
#[derive(Args)]
pub struct Validate {
    #[command(flatten)]
    chosen: Chosen,
}

impl Validate {
    pub fn run(self) -> Result<()> {
        let absent = recipe::validate(&self.chosen.request())?;
        let mut text = format!("{}: no problems\n", self.chosen.recipe);
        if !absent.is_empty() {
            text.push_str("profiles that need files you have not named yet:\n");
            for problem in absent {
                text.push_str(&format!("  {problem}\n"));
            }
        }
        print(&text)
    }
}
