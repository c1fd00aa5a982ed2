//! From layered TOML to stages in order, keeping every problem.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use crate::hub::{self, Pinned};
use crate::stage::kind::Kind;
use crate::stage::settings::keys::{
    Keys, Lacks, Link, Node, Offer, Origin, Problem, Reading, Scope, StageRef, Table as Keyed,
    Value, brief, suggest,
};
use crate::store::Stop;

use super::chain::path_of;
use super::claims::{Stages, read_claims, read_tables};
use super::load::Recipe;
use super::{Claim, DEFAULT_PROFILE, Plan, PlannedStage, Request, Table, like, resolved, set};

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

const LONGEST_NAME: usize = 100;

/// The walk from the outputs along references, depth first.
struct Walk<'a> {
    scope: &'a Scope,
    declared: &'a Keyed,
    kinds: &'a [Kind],
    /// Stages met; `None` where the kind is not known.
    read: BTreeMap<String, Option<PlannedStage>>,
    /// Stages after all that they refer to.
    order: Vec<String>,
    problems: Vec<Problem>,
    lost: bool,
}

impl<'a> Walk<'a> {
    /// Visits a stage and all that it refers to, without recursion: a chain may have thousands of stages.
    fn visit(&mut self, name: &str) {
        // The stages that led here, each with the references that are still to be followed.
        let mut trail: Vec<(String, std::vec::IntoIter<Link<StageRef>>)> = Vec::new();
        let mut on_trail: HashSet<String> = HashSet::new();
        let mut next = Some(name.to_owned());
        loop {
            if let Some(name) = next.take()
                && !self.read.contains_key(&name)
                && let Some(node) = self.declared.get(&name)
            {
                let stage = self.read_stage(&name, node);
                let refs = stage.as_ref().map(|stage| stage.refs.clone());
                self.read.insert(name.clone(), stage);
                on_trail.insert(name.clone());
                trail.push((name, refs.unwrap_or_default().into_iter()));
            }
            let Some((name, refs)) = trail.last_mut() else {
                return;
            };
            match refs.next() {
                Some(link) if on_trail.contains(&link.to.name) => {
                    let key = format!("stage.{name}.{}", link.key.join("."));
                    let names = trail.iter().map(|(name, _)| name.clone());
                    let mut cycle: Vec<String> =
                        names.skip_while(|name| *name != link.to.name).collect();
                    cycle.push(link.to.name);
                    let message = format!("a cycle: {}", path_of(&cycle, " refers to "));
                    self.problems.push(Problem::new(link.origin, key, message));
                }
                Some(link) => next = Some(link.to.name),
                None => {
                    on_trail.remove(name.as_str());
                    self.order.extend(trail.pop().map(|(name, _)| name));
                }
            }
        }
    }

    fn read_stage(&mut self, name: &str, node: &Node) -> Option<PlannedStage> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            let message = format!(
                "expected a stage's name of letters, digits, - and _, at most {LONGEST_NAME} of them"
            );
            self.problems.push(Problem::new(
                node.origin.clone(),
                format!("stage.{name}"),
                message,
            ));
        }
        let mut found = Reading::default();
        let mut keys = Keys::new(self.scope, node, &["stage", name], &mut found);
        let kind = self.read_kind(&mut keys);
        let per_seed = keys.bool("per_seed", true);
        let stage = kind.map(|kind| (kind.read)(&mut keys));
        drop(keys);
        self.lost |= kind.is_none() || found.lost_refs;
        self.problems.append(&mut found.problems);
        let mut settings = found.settings;
        settings.shift_remove("per_seed");
        let (kind, stage) = kind.zip(stage)?;
        Some(PlannedStage {
            name: name.into(),
            kind: kind.name,
            version: kind.version,
            modules: kind.modules,
            produces: kind.produces,
            uses_backend: kind.uses_backend,
            per_seed,
            settings: settings.into(),
            refs: found.refs,
            paths: found.paths,
            on_hub: found.on_hub,
            stage,
        })
    }

    /// The stage's kind; where there is none, that is a problem, and what other keys it takes is not known.
    fn read_kind(&self, keys: &mut Keys<'_>) -> Option<&'a Kind> {
        let node = keys.raw("kind");
        let written = node.and_then(Node::as_str);
        let kind = written.and_then(|name| self.kinds.iter().find(|kind| kind.name == name));
        if kind.is_none() {
            keys.ignore_rest();
            let known: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
            let suggestion = suggest(written.unwrap_or_default(), "kinds", &known);
            let message = match (node, written.map(str::trim)) {
                (None, _) => format!("required: expected a kind of stage{suggestion}"),
                (Some(node), None) => {
                    format!("expected a string, found {}{suggestion}", node.show())
                }
                (_, Some("")) => format!("unknown kind{suggestion}"),
                (_, Some(name)) => format!("unknown kind {}{suggestion}", brief(name)),
            };
            keys.problem("kind", message);
        }
        kind
    }

    /// A stage that runs once cannot build on one that runs once per seed.
    fn check_seeds(&mut self) {
        let per_seed = |name: &str| {
            self.read
                .get(name)
                .and_then(Option::as_ref)
                .is_some_and(|stage| stage.per_seed)
        };
        let mut problems = Vec::new();
        for stage in self.read.values().flatten().filter(|stage| !stage.per_seed) {
            for link in stage.refs.iter().filter(|link| per_seed(&link.to.name)) {
                let key = format!("stage.{}.{}", stage.name, link.key.join("."));
                let message = format!(
                    "{} runs once for all seeds (per_seed = false) but @{} runs once per seed; give both the same per_seed",
                    stage.name, link.to.name
                );
                problems.push(Problem::new(link.origin.clone(), key, message));
            }
        }
        self.problems.append(&mut problems);
    }
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
