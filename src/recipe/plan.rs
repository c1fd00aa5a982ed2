//! From layered TOML to stages in order, keeping every problem.

mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::hub::{self, Pinned};
use crate::stage::kind::Kind;
use crate::stage::settings::keys::{
    Keys, Lacks, Node, Offer, Origin, Problem, Reading, Scope, Table as Keyed, Value, brief,
    suggest,
};
use crate::store::Stop;

use super::claims::{Stages, read_claims, read_tables};
use super::load::Recipe;
use super::{Claim, DEFAULT_PROFILE, Plan, PlannedStage, Request, Table, like, resolved, set};
use walk::Walk;

/// What a recipe comes to under one profile.
pub(super) struct Resolved {
    title: String,
    about: String,
    paper: String,
    profile: String,
    seeds: Vec<u64>,
    outputs: Vec<String>,
    stages: Vec<PlannedStage>,
    claims: Vec<Claim>,
    tables: Vec<Table>,
    pub problems: Vec<Problem>,
    /// The stages that the outputs lead to.
    reached: BTreeSet<String>,
    /// Some output, kind or reference was not understood, so `reached` may be short.
    lost: bool,
}

impl Resolved {
    /// The plan; call it when there are no problems.
    pub fn into_plan(self, name: String, file: &Path, request: &Request<'_>) -> Plan {
        let mut plan = Plan {
            name,
            from: file.display().to_string(),
            title: self.title,
            about: self.about,
            paper: self.paper,
            profile: self.profile,
            backend: request.backend.to_string(),
            given: request.given.variables(),
            sets: request.sets.to_vec(),
            seeds: self.seeds,
            outputs: self.outputs,
            stages: self.stages,
            claims: self.claims,
            tables: self.tables,
            resolved_toml: String::new(),
        };
        plan.resolved_toml = resolved::to_toml(&plan);
        plan
    }
}

/// What names of a hub are.
pub(super) type Pins = BTreeMap<String, Pinned>;

impl Resolved {
    /// Asks what the names of a hub are; each that there is no answer for becomes a problem.
    pub fn pins(&mut self, stop: &Stop) -> Pins {
        let mut pins = Pins::new();
        let links = self.stages.iter().flat_map(|stage| {
            let links = stage.on_hub.iter();
            links.map(|link| (&stage.name, link))
        });
        let mut failed: BTreeMap<&str, String> = BTreeMap::new();
        for (stage, link) in links {
            let name = &*link.to.name;
            if !pins.contains_key(name) && !failed.contains_key(name) {
                match hub::pin(name, stop) {
                    Ok(pinned) => drop(pins.insert(name.to_owned(), pinned)),
                    Err(error) => drop(failed.insert(name, format!("{error:#}"))),
                }
            }
            if let Some(message) = failed.get(name) {
                let key = format!("stage.{stage}.{}", link.key.join("."));
                let mut problem = Problem::new(link.origin.clone(), key, message);
                problem.lacks = Lacks::Path;
                self.problems.push(problem);
            }
        }
        pins
    }

    pub fn is_on_hub(&self) -> bool {
        self.stages.iter().any(|stage| !stage.on_hub.is_empty())
    }
}

/// Reads everything that one profile's outputs lead to.
pub(super) fn resolve(
    recipe: &Recipe,
    profile: Option<&str>,
    sets: &[String],
    request: &Request<'_>,
    pins: &Pins,
) -> Resolved {
    let mut problems = Vec::new();
    let mut root = recipe.layered(profile);
    let touched = set::apply(&mut root, sets, &mut problems);
    like::apply(&mut root, &mut problems);
    let empty = Keyed::default();
    let stage_node = root.as_table().and_then(|table| table.get("stage"));
    let declared = stage_node.and_then(Node::as_table).unwrap_or(&empty);
    if let Some(node) = stage_node.filter(|node| node.as_table().is_none()) {
        let message = format!("expected tables [stage.NAME], found {}", node.show());
        problems.push(Problem::new(node.origin.clone(), "stage", message));
    }
    let scope = Scope {
        stages: declared
            .0
            .iter()
            .map(|(name, node)| (name.clone(), offer(node, request.kinds)))
            .collect(),
        given: request.given.variables(),
        pins: pins.clone(),
    };

    let mut found = Reading::default();
    let mut keys = Keys::new(&scope, &root, &[], &mut found);
    let title = keys.string("title", None);
    let about = keys.string("about", "");
    let paper = keys.string("paper", "");
    let seeds = read_seeds(&mut keys);
    let (outputs, mut lost) = read_outputs(&mut keys, declared);
    let mut walk = Walk {
        scope: &scope,
        declared,
        kinds: request.kinds,
        read: BTreeMap::new(),
        order: Vec::new(),
        problems: Vec::new(),
        lost: false,
    };
    for output in &outputs {
        walk.visit(output);
    }
    walk.check_seeds();
    let Walk {
        mut read,
        order,
        problems: stage_problems,
        lost: lost_on_the_way,
        ..
    } = walk;
    lost |= lost_on_the_way;
    let reached: BTreeSet<String> = read.keys().cloned().collect();
    for (stage, origin) in touched {
        if !lost && !reached.contains(&stage) {
            let message = "this stage is not in the plan, so the setting would do nothing";
            problems.push(Problem::new(origin, format!("stage.{stage}"), message));
        }
    }
    let names = Stages {
        declared: declared.names(),
        reached: &reached,
    };
    let claims = read_claims(&mut keys, &names);
    let tables = read_tables(&mut keys, &names);
    keys.raw("stage");
    drop(keys);
    problems.append(&mut found.problems);
    problems.extend(stage_problems);
    let stages = order
        .iter()
        .filter_map(|name| read.remove(name).flatten())
        .collect();
    let profile = profile.unwrap_or(DEFAULT_PROFILE).to_string();
    Resolved {
        title,
        about,
        paper,
        profile,
        seeds,
        outputs,
        stages,
        claims,
        tables,
        problems,
        reached,
        lost,
    }
}

/// What references to a stage may count on, if its kind is known.
fn offer(node: &Node, kinds: &[Kind]) -> Option<Offer> {
    let name = node.as_table()?.get("kind")?.as_str()?;
    let kind = kinds.iter().find(|kind| kind.name == name)?;
    Some(Offer {
        kind: kind.name,
        produces: kind.produces,
    })
}

/// Each seed is a run of its own.
const MOST_SEEDS: usize = 1000;

fn read_seeds(keys: &mut Keys<'_>) -> Vec<u64> {
    let seeds = keys.ints("seeds", None, 0..=i64::MAX);
    if seeds.is_empty()
        && matches!(keys.raw("seeds"), Some(Node { value: Value::Array(items), .. }) if items.is_empty())
    {
        keys.problem("seeds", "expected at least one seed, found none");
    }
    if seeds.len() > MOST_SEEDS {
        let message = format!("expected at most {MOST_SEEDS} seeds, found {}", seeds.len());
        keys.problem("seeds", message);
        return Vec::new();
    }
    let mut unique = BTreeSet::new();
    if let Some(twice) = seeds.iter().find(|seed| !unique.insert(**seed)) {
        keys.problem("seeds", format!("seed {twice} is given twice"));
    }
    seeds.into_iter().map(i64::unsigned_abs).collect()
}

/// The outputs that name stages, and whether some did not.
fn read_outputs(keys: &mut Keys<'_>, declared: &Keyed) -> (Vec<String>, bool) {
    let mut outputs = keys.strings("outputs", None);
    let stages = declared.names();
    let mut lost = outputs.is_empty();
    if lost
        && matches!(keys.raw("outputs"), Some(Node { value: Value::Array(items), .. }) if items.is_empty())
    {
        keys.problem("outputs", "expected at least one stage, found none");
    }
    let mut seen = BTreeSet::new();
    outputs.retain(|output| {
        if declared.get(output).is_none() {
            lost = true;
            keys.problem(
                "outputs",
                format!(
                    "unknown stage {}{}",
                    brief(output),
                    suggest(output, "stages", &stages)
                ),
            );
            return false;
        }
        seen.insert(output.clone())
    });
    (outputs, lost)
}

/// Stages of the recipe's own file that no profile leads to: most likely a slip.
///
/// Stages that come from an extended recipe may go unused.
pub(super) fn unreached(recipe: &Recipe, request: &Request<'_>) -> Vec<Problem> {
    let mut reached = BTreeSet::new();
    let mut declared: Vec<(String, Origin)> = Vec::new();
    for profile in recipe.profiles_or_none() {
        let resolved = resolve(recipe, profile, &[], request, &Pins::new());
        if resolved.lost {
            return Vec::new();
        }
        reached.extend(resolved.reached);
        let root = recipe.layered(profile);
        let stages = root
            .as_table()
            .and_then(|table| table.get("stage"))
            .and_then(Node::as_table);
        for (name, node) in stages.into_iter().flat_map(|table| &table.0) {
            declared.push((name.clone(), node.origin.clone()));
        }
    }
    let mut problems = Vec::new();
    for (name, origin) in declared {
        if origin.is_in(&recipe.file) && reached.insert(name.clone()) {
            let message = "no profile's outputs lead to this stage; add it to outputs or remove it";
            problems.push(Problem::new(origin, format!("stage.{name}"), message));
        }
    }
    problems
}
