//! `rapport verify`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::store::{Condition, FOLDER, Store, print, print_json};

/// Reads all finished stages and saved steps and says which are damaged. Exits with 1 if any is.
#[derive(Args)]
pub struct Verify {
    /// Folder of all runs.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self) -> Result<()> {
        let all = Store::verify(&self.runs.join(FOLDER))?;
        let damaged = all.iter().filter(|one| one.damage.is_some()).count();
        let count = |condition| all.iter().filter(|one| one.condition == condition).count();
        if self.json {
            let stages: Vec<_> = all
                .iter()
                .map(|one| {
                    json!({"name": one.name, "condition": one.condition, "damage": one.damage})
                })
                .collect();
            print_json(&json!({"damaged": damaged, "stages": stages}))?;
        } else {
            let mut text = String::new();
            for one in &all {
                if let Some(why) = &one.damage {
                    text.push_str(&format!("{}: {why}\n", one.name));
                }
            }
            let (finished, begun) = (count(Condition::Finished), count(Condition::Begun));
            text.push_str(&format!("{finished} finished, {begun} begun"));
            match count(Condition::SetAside) {
                0 => {}
                aside => text.push_str(&format!(", {aside} set aside (remove them at will)")),
            }
            text.push_str(&format!("; {damaged} damaged\n"));
            print(&text)?;
        }
        if damaged > 0 {
            bail!("{damaged} damaged; the next run that needs one makes it anew");
        }
        Ok(())
    }
}
