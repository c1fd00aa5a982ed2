//! `rapport list`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::recipe;

/// Lists the recipes of a folder.
#[derive(Args)]
pub struct List {
    /// The folder of recipes.
    #[arg(long, default_value = "experiments")]
    experiments: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(self) -> Result<()> {
        let listed = recipe::list(&self.experiments)?;
        if self.json {
            let rows: Vec<_> = listed
                .iter()
                .map(|r| json!({"name": r.name, "title": r.title, "paper": r.paper, "profiles": r.profiles}))
                .collect();
            println!("{}", serde_json::to_string_pretty(&rows)?);
            return Ok(());
        }
        let width = listed.iter().map(|r| r.name.len()).max().unwrap_or(0);
        for recipe in listed {
            let profiles = recipe.profiles.join(", ");
            println!("{:width$}  {}  [{profiles}]", recipe.name, recipe.title);
        }
        Ok(())
    }
}
