//! `run --dry-run`: what a run would do, without doing it.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Places, tasks};
use crate::recipe::Plan;
use crate::store::Manifest;

/// The plan in words: each stage with its state, and where things go.
///
/// # Errors
/// When a file that a setting names cannot be read.
pub fn dry_run(plan: &Plan, places: &Places) -> Result<String> {
    let mut text = format!(
        "{} ({}), profile {}, backend {}, seeds {:?}\n\n",
        plan.name, plan.title, plan.profile, plan.backend, plan.seeds
    );
    let mut due = 0;
    for task in tasks(plan)? {
        let path = places.store.path(task.stage.kind, &task.hash);
        let state = match places.store.find(task.stage.kind, &task.hash) {
            Some(done) => format!("done in {:.1} s", Manifest::read(&done)?.seconds),
            None => {
                due += 1;
                let partial = path.with_extension("partial");
                let begun = if partial.exists() { "begun" } else { "due" };
                begun.to_owned()
            }
        };
        writeln!(
            text,
            "{:28} {:16} {:16} {}",
            task.label(),
            task.stage.kind,
            state,
            path.display()
        )?;
    }
    writeln!(
        text,
        "\n{due} stages to run; the report goes to {}",
        places.out.display()
    )?;
    Ok(text)
}
