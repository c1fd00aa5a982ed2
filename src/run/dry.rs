//! `run --dry-run`: what a run would do, without doing it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{Places, Task, tasks};
use crate::hub;
use crate::recipe::Plan;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::store::{Found, Hash, Manifest, Stop, Store};

/// The plan in words: each stage with its state, where things go, what data and models give cause to remark, and a
/// preview of the first training stage that is due. To preview it, due stages that need no compute backend (data,
/// tokenizers, untrained models) are run in a temporary folder that is thrown away.
///
/// # Errors
/// When a file that a setting names cannot be read, or a previewed stage's input is bad.
pub fn dry_run(plan: &Plan, places: &Places) -> Result<String> {
    let mut text = format!(
        "{} ({}), profile {}, backend {}, seeds {:?}\nrecipe: {}\n\n",
        plan.name, plan.title, plan.profile, plan.backend, plan.seeds, plan.from
    );
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let temporary = Store::open(scratch.path())?;
    let mut there: BTreeMap<Hash, PathBuf> = BTreeMap::new();
    let (mut due, mut preview) = (0, None);
    let (mut remarks, mut unread) = (String::new(), Vec::new());
    for task in tasks(plan)? {
        let path = places.store.path(task.stage.kind, &task.hash);
        let state = match places.store.look(task.stage.kind, &task.hash) {
            Found::Whole(done) => {
                let seconds = Manifest::read(&done)?.seconds;
                there.insert(task.hash.clone(), done);
                format!("done in {seconds:.1} s")
            }
            found => {
                due += 1;
                if preview.is_none() {
                    preview = look(plan, &task, &temporary, &mut there)
                        .with_context(|| format!("stage {}", task.label()))?;
                }
                if !task.stage.uses_backend && !there.contains_key(&task.hash) {
                    unread.push(task.label());
                }
                let begun = path.with_extension("partial").exists();
                String::from(match found {
                    Found::Damaged(_) => "damaged",
                    _ if begun => "begun",
                    _ => "due",
                })
            }
        };
        let made = there.get(&task.hash).filter(|_| !task.stage.uses_backend);
        let notes = made.map(|made| Measures::read(made)).transpose()?;
        for note in notes.unwrap_or_default().notes {
            writeln!(remarks, "  {}: {note}", task.label())?;
        }
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
        places.out.dir().display()
    )?;
    if !remarks.is_empty() {
        write!(text, "\nremarks, of all rows and files:\n{remarks}")?;
    }
    if !unread.is_empty() {
        writeln!(text, "\nnot read for this: {}", unread.join(", "))?;
    }
    if let Some((label, preview)) = preview {
        write!(text, "\n{label}:\n{preview}")?;
    }
    Ok(text)
}

/// Previews a due stage if its inputs are there, or makes it there if it needs no backend.
fn look(
    plan: &Plan,
    task: &Task<'_>,
    temporary: &Store,
    there: &mut BTreeMap<Hash, PathBuf>,
) -> Result<Option<(String, String)>> {
    let inputs: Option<BTreeMap<String, PathBuf>> = task
        .inputs
        .iter()
        .map(|(name, hash)| Some((name.clone(), there.get(hash)?.clone())))
        .collect();
    let Some(inputs) = inputs else {
        return Ok(None);
    };
    let dir = temporary.path(task.stage.kind, &task.hash);
    let context = Context {
        dir: dir.clone(),
        seed: task.seed.unwrap_or(0),
        backend: plan.backend.clone(),
        inputs,
        label: task.label(),
        stop: Stop::new(),
        store: temporary.clone(),
    };
    if task.stage.uses_backend {
        let preview = task.stage.stage.preview(&context)?;
        return Ok(preview.map(|preview| (task.label(), preview)));
    }
    // A look fetches nothing.
    for link in &task.stage.on_hub {
        match &link.to.pinned {
            Some(pinned) if hub::is_here(pinned, link.to.wanted)? => {}
            _ => return Ok(None),
        }
    }
    std::fs::create_dir_all(&dir)?;
    super::blame(task.stage, task.stage.stage.run(&context))?;
    there.insert(task.hash.clone(), dir);
    Ok(None)
}
