//! `rapport show`.

use anyhow::Result;
use clap::Args;

use super::Chosen;
use crate::recipe;
use crate::stage::KINDS;
use crate::stage::keys::document;

/// Shows a recipe with every layer and default filled in, or a stage kind's keys.
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    chosen: Chosen,
}

impl Show {
    pub fn run(self) -> Result<()> {
        if let Some(kind) = KINDS.iter().find(|kind| kind.name == self.chosen.recipe) {
            println!("{}: {} (makes {})\n", kind.name, kind.about, kind.produces);
            for key in document(kind) {
                let default = match (&key.default, key.required) {
                    (Some(value), _) => format!("default {value}"),
                    (None, true) => "required".to_owned(),
                    (None, false) => "optional".to_owned(),
                };
                println!("{:30} {}; {default}", key.key, key.expected);
                if !key.doc.is_empty() {
                    println!("{:30} {}", "", key.doc);
                }
            }
            return Ok(());
        }
        let plan = recipe::plan(&self.chosen.request())?;
        print!("{}", plan.resolved_toml);
        Ok(())
    }
}
