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
mod planned;
mod resolved;
mod set;
#[cfg(test)]
mod tests;

use crate::stage::settings::keys::Lacks;
pub use crate::stage::settings::keys::{Link, Problem, Problems, StageRef};
use crate::store::Stop;
pub use claims::{Claim, Column, Metric, PaperRow, Row, Table};
pub use identity::identity;
pub use load::shelf::{FOLDER, Shelf};
pub use load::{Listed, check_name, is_name, list};
pub use planned::{DEFAULT_PROFILE, Given, Plan, PlannedStage, Request};

/// Reads and checks a recipe for one profile.
///
/// # Errors
/// Every problem of that profile, each with its place. Nothing is run or written.
pub fn plan(request: &Request<'_>) -> Result<Plan, Problems> {
    let recipe = load::load(&request.shelf, request.name)?;
    let profile = recipe.profile(request.profile)?;
    let resolve = |pins: &plan::Pins| plan::resolve(&recipe, profile, request.sets, request, pins);
    let mut resolved = resolve(&plan::Pins::new());
    resolved.problems.extend(plan::unreached(&recipe, request));
    // Where something else is wrong, no server is asked.
    if request.pinned && resolved.problems.is_empty() && resolved.is_on_hub() {
        let pins = resolved.pins(&Stop::new());
        if resolved.problems.is_empty() {
            resolved = resolve(&pins);
        }
    }
    if !resolved.problems.is_empty() {
        return Err(Problems::in_order(resolved.problems));
    }
    Ok(resolved.into_plan(recipe.name, &recipe.file, request))
}

/// Checks a recipe for all its profiles; `--set` arguments apply to the chosen one.
///
/// Returns the problems that only ask for data or models which the user may not have. Under a
/// profile chosen by name these are errors too.
///
/// # Errors
/// Every problem of every profile, each once.
pub fn validate(request: &Request<'_>) -> Result<Vec<Problem>, Problems> {
    let recipe = load::load(&request.shelf, request.name)?;
    let chosen = recipe.profile(request.profile)?;
    let (mut errors, mut absent): (Vec<Problem>, Vec<Problem>) = (Vec::new(), Vec::new());
    for profile in recipe.profiles_or_none() {
        let selected = profile == chosen;
        let sets = if selected { request.sets } else { &[] };
        for problem in plan::resolve(&recipe, profile, sets, request, &plan::Pins::new()).problems {
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
