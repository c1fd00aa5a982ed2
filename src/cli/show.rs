//! `rapport show`.

use anyhow::Result;
use clap::Args;

use super::chosen::Chosen;
use crate::recipe;
use crate::stage::KINDS;
use crate::store::print;

/// Shows a recipe with every layer and default filled in, or a stage kind's keys.
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    chosen: Chosen,
}

impl Show {
    pub fn run(self) -> Result<()> {
        if let Some(kind) = KINDS.iter().find(|kind| kind.name == self.chosen.recipe) {
            let mut text = format!(
                "{}: {} (makes {})\n\n",
                kind.name, kind.about, kind.produces
            );
            for key in kind.document() {
                let default = match (&key.default, key.required) {
                    (Some(value), _) => format!("default {value}"),
                    (None, true) => "required".to_owned(),
                    (None, false) => "optional".to_owned(),
                };
                let with = key.goes_with.as_ref();
                let with = with.map_or(String::new(), |with| format!("; goes with {with}"));
                text.push_str(&format!(
                    "{:30} {}; {default}{with}\n",
                    key.key, key.expected
                ));
                if !key.doc.is_empty() {
                    text.push_str(&format!("{:30} {}\n", "", key.doc));
                }
            }
            return print(&text);
        }
        let plan = recipe::plan(&self.chosen.request())?;
        print(&plan.resolved_toml)
    }
}
