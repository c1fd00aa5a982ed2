//! Recipes: a TOML file in, a checked plan out, or every problem at once.
//!
//! Layers, later over earlier: the file that `extends` names, the recipe's own file, the chosen
//! `[profile.NAME]`, and `--set` arguments. Tables merge key by key, lists are replaced whole, and a stage that
//! is given another kind begins anew. Then each stage with `like = "NAME"` is laid over that stage.

mod chain;
mod claims;
mod identity;
mod layer;
mod like;
#[cfg(test)]
mod limits_tests;
mod load;
mod plan;
mod resolved;
mod set;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::stage::keys::Lacks;
pub use crate::stage::keys::{Link, Problem, Problems, StageRef};
pub use claims::{Claim, Column, Metric, Row, Table};
pub use identity::identity;
pub use load::{Listed, is_name, list};

use crate::stage::kind::{Kind, Produces, Stage};
use crate::stage::modules::Module;

/// The profile of a plan when none is asked for.
pub const DEFAULT_PROFILE: &str = "sandbox";

/// What to plan.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Folder of the recipes, `experiments/`.
    pub folder: &'a Path,
    /// A recipe's name in that folder, or the path of a TOML file.
    pub name: &'a str,
    /// The profile; [`DEFAULT_PROFILE`] if none.
    pub profile: Option<&'a str>,
    /// The values of `--set` arguments, `a.b=c` each.
    pub sets: &'a [String],
    /// The folder that `${DATA}` stands for.
    pub data: Option<&'a Path>,
    /// Name of the compute backend.
    pub backend: &'a str,
    /// The registry of stage kinds.
    pub kinds: &'a [Kind],
}

/// A checked experiment, ready to run.
pub struct Plan {
    /// Name of the recipe: its file's, without the ending.
    pub name: String,
    /// Title, for people.
    pub title: String,
    /// What the experiment is about; may be empty.
    pub about: String,
    /// The paper it follows; may be empty.
    pub paper: String,
    /// The profile.
    pub profile: String,
    /// Name of the compute backend.
    pub backend: String,
    /// Seeds, without repetition.
    pub seeds: Vec<u64>,
    /// The stages that the recipe asks for.
    pub outputs: Vec<String>,
    /// The outputs and all they refer to, each after what it refers to.
    pub stages: Vec<PlannedStage>,
    /// The paper's claims to check.
    pub claims: Vec<Claim>,
    /// Result tables to show.
    pub tables: Vec<Table>,
    /// The recipe with every layer and default filled in; it plans to the same stages.
    pub resolved_toml: String,
}

/// One stage of a plan.
pub struct PlannedStage {
    /// Name in the recipe.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// The kind's version.
    pub version: u32,
    /// The shared modules that the kind computes with, and their versions.
    pub modules: &'static [Module],
    /// The type of its artifact.
    pub produces: Produces,
    /// Whether its result depends on the compute backend.
    pub uses_backend: bool,
    /// Whether it runs once per seed, or once for all.
    pub per_seed: bool,
    /// Every setting, defaults included; references as `"@name"`.
    pub settings: Json,
    /// The references among the settings.
    pub refs: Vec<Link<StageRef>>,
    /// The files and folders among the settings.
    pub paths: Vec<Link<PathBuf>>,
    /// What runs.
    pub stage: Box<dyn Stage>,
}

impl PlannedStage {
    /// The seed that the stage is given in the run of `seed`: 0 where it runs once for all.
    pub fn seed(&self, seed: u64) -> u64 {
        if self.per_seed { seed } else { 0 }
    }

    /// The names of the stages it refers to, each once.
    pub fn inputs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.refs.iter().map(|link| link.to.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Reads and checks a recipe for one profile.
///
/// # Errors
/// Every problem of that profile, each with its place. Nothing is run or written.
pub fn plan(request: &Request<'_>) -> Result<Plan, Problems> {
    let recipe = load::load(request.folder, request.name)?;
    let profile = recipe.profile(request.profile)?;
    let mut resolved = plan::resolve(&recipe, profile, request.sets, request);
    resolved.problems.extend(plan::unreached(&recipe, request));
    if !resolved.problems.is_empty() {
        return Err(Problems::in_order(resolved.problems));
    }
    Ok(resolved.into_plan(recipe.name, request))
}

/// Checks a recipe for all its profiles; `--set` arguments apply to the chosen one.
///
/// Returns the problems that only ask for data or models which the user may not have. Under a
/// profile chosen by name these are errors too.
///
/// # Errors
/// Every problem of every profile, each once.
pub fn validate(request: &Request<'_>) -> Result<Vec<Problem>, Problems> {
    let recipe = load::load(request.folder, request.name)?;
    let chosen = recipe.profile(request.profile)?;
    let (mut errors, mut absent): (Vec<Problem>, Vec<Problem>) = (Vec::new(), Vec::new());
    for profile in recipe.profiles_or_none() {
        let selected = profile == chosen;
        let sets = if selected { request.sets } else { &[] };
        for problem in plan::resolve(&recipe, profile, sets, request).problems {
            let excused = match problem.lacks {
                Lacks::Nothing => false,
                Lacks::Path => !(selected && request.profile.is_some()),
                Lacks::Variable => !selected,
            };
            let list = if excused { &mut absent } else { &mut errors };
            if !list.contains(&problem) {
                list.push(problem);
            }
        }
    }
    errors.extend(plan::unreached(&recipe, request));
    if errors.is_empty() {
        Ok(absent)
    } else {
        Err(Problems::in_order(errors))
    }
}
