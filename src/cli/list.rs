//! `rapport list`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::recipe;
use crate::store::{print, print_json};

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
            return print_json(&rows);
        }
        let width = listed.iter().map(|r| r.name.len()).max().unwrap_or(0);
        let line = |recipe: recipe::Listed| {
            let profiles = recipe.profiles.join(", ");
            format!("{:width$}  {}  [{profiles}]\n", recipe.name, recipe.title)
        };
        print(&listed.into_iter().map(line).collect::<String>())
    }
}
