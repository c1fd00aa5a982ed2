//! Where a run's files go, and that nothing of its user's lies there.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::recipe::Plan;
use crate::report;
use crate::stage::settings::produces::Produces;
use crate::store::{BadInput, FOLDER, Foreign, Owned, Store};

/// The step metrics of all stages, in the run's folder.
pub(super) const METRICS: &str = "metrics.jsonl";
/// The resolved recipe.
pub(super) const RECIPE: &str = "recipe.toml";
/// TensorBoard's event files, by stage.
const EVENTS: &str = "tensorboard";
/// The copy of the model, where a run makes exactly one for its user.
pub(super) const MODEL: &str = "model";

/// Where a run's files go.
pub struct Places {
    /// The run's own folder: resolved recipe, metrics, reports, and its model where it makes exactly one.
    pub out: Owned,
    pub store: Store,
    /// Whether step metrics are written as event files too.
    pub tensorboard: bool,
}

impl Places {
    /// The folder of a stage's event files, where they are wanted.
    pub(super) fn events(&self, label: &str) -> Option<PathBuf> {
        let name = label.replace(' ', "-");
        let dir = self.out.dir().join(EVENTS).join(name);
        self.tensorboard.then_some(dir)
    }

    /// The places of a run under `runs`, in a folder of its own that is `out` or lies under `runs` too.
    ///
    /// # Errors
    /// [`BadInput`] where the run would replace what it did not write, or write into what it reads; nothing has been
    /// made or written then.
    pub fn new(plan: &Plan, runs: &Path, out: Option<PathBuf>) -> Result<Self> {
        let (named, root) = (out.is_some(), runs.join(FOLDER));
        let out = out.unwrap_or_else(|| runs.join(&plan.name).join(&plan.profile));
        let files = [&[RECIPE, METRICS][..], &report::FILES].concat();
        let folders = match the_model(plan) {
            Some(_) => &[MODEL][..],
            None => &[],
        };
        clear_of_inputs(plan, runs, &out, &[&files[..], folders].concat())?;
        if resolved(&out)?.starts_with(resolved(&root)?) {
            return Err(BadInput(format!(
                "--out {}: finished stages are kept there; name a folder outside {}",
                out.display(),
                root.display()
            ))
            .into());
        }
        let foreign = match named {
            true => Foreign::Refuse,
            // Named by us: what stands there is from another version.
            false => Foreign::SetAside,
        };
        Ok(Self {
            out: Owned::check(out, &files, folders, foreign)?,
            store: Store::open(root)?,
            tensorboard: false,
        })
    }
}

/// The stage whose model a run puts beside its report: the one that makes a model for its user, once.
pub(super) fn the_model(plan: &Plan) -> Option<&str> {
    let mut models = plan.stages.iter().filter(|stage| {
        let model = matches!(stage.produces, Produces::Model | Produces::RewardModel);
        model && plan.outputs.contains(&stage.name)
    });
    match (models.next(), models.next()) {
        (Some(stage), None) if !stage.per_seed || plan.seeds.len() == 1 => Some(&stage.name),
        _ => None,
    }
}

/// That no input is among the `targets` in `out`, and that neither `runs` nor `out` lies in a folder that is read.
fn clear_of_inputs(plan: &Plan, runs: &Path, out: &Path, targets: &[&str]) -> Result<()> {
    let links = plan.stages.iter().flat_map(|stage| {
        let keyed = |link: &crate::recipe::Link<PathBuf>| {
            (
                format!("{}.{}", stage.name, link.key.join(".")),
                link.to.clone(),
            )
        };
        stage.paths.iter().map(keyed)
    });
    let (runs_at, out_at) = (resolved(runs)?, resolved(out)?);
    for (key, path) in links {
        let input = resolved(&path)?;
        for target in targets {
            if input.starts_with(resolved(&out_at.join(target))?)
                || input.starts_with(out_at.join(target))
            {
                return Err(BadInput(format!(
                    "{key}: {} is what this run would write as {}; name another folder with --out",
                    path.display(),
                    out.join(target).display()
                ))
                .into());
            }
        }
        for (option, folder, at) in [("--runs", runs, &runs_at), ("--out", out, &out_at)] {
            // Hidden entries are no part of what is read.
            let seen = |rest: &Path| {
                !rest
                    .iter()
                    .any(|part| part.as_encoded_bytes().starts_with(b"."))
            };
            if at.strip_prefix(&input).is_ok_and(seen) {
                return Err(BadInput(format!(
                    "{key}: {} holds {}, where this run would write: it would read what it wrote; name a folder \
                     outside with {option}",
                    path.display(),
                    folder.display()
                ))
                .into());
            }
        }
    }
    Ok(())
}

/// The absolute path without links, also of what is not there yet.
fn resolved(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("{}", path.display()))?;
    let found = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    Ok(found.unwrap_or(path))
}
