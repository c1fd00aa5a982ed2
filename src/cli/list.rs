//! `rapport list`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::recipe::{self, Shelf};
use crate::store::{print, print_json};

/// Lists the recipes.
#[derive(Args)]
pub struct List {
    /// The folder of recipes, alone; by default ./experiments where it exists, then those that the program carries.
    #[arg(long, value_name = "DIR")]
    experiments: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(self) -> Result<()> {
        let listed = recipe::list(&Shelf::new(self.experiments.as_deref()))?;
        if self.json {
            let rows: Vec<_> = listed
                .iter()
                .map(|r| json!({"name": r.name, "title": r.title, "paper": r.paper, "profiles": r.profiles, "from": r.from}))
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
