//! The tasks of a plan: each stage for each seed, with its identity.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use crate::recipe::{Plan, PlannedStage, identity};
use crate::store::{Hash, Manifest};

/// One stage of the plan for one seed.
pub struct Task<'a> {
    pub stage: &'a PlannedStage,
    /// None where the stage runs once for all seeds.
    pub seed: Option<u64>,
    pub hash: Hash,
    /// The inputs' identities by stage name.
    pub inputs: BTreeMap<String, Hash>,
}

impl Task<'_> {
    /// What progress lines call it.
    pub fn label(&self) -> String {
        match self.seed {
            Some(seed) => format!("{} seed {seed}", self.stage.name),
            None => self.stage.name.clone(),
        }
    }
}

/// A task that is done.
pub struct Done {
    pub artifact: PathBuf,
    pub manifest: Manifest,
    /// Whether it was finished before this run began.
    pub reused: bool,
}

impl Done {
    /// One that was finished already.
    pub(super) fn before(artifact: PathBuf) -> Result<Self> {
        Ok(Self {
            manifest: Manifest::read(&artifact)?,
            artifact,
            reused: true,
        })
    }
}

/// All tasks in the order in which they run, one at a time: shared stages first, then seed by seed.
///
/// # Errors
/// When a file that a setting names cannot be read.
pub fn tasks(plan: &Plan) -> Result<Vec<Task<'_>>> {
    let mut tasks = Vec::new();
    let mut shared: BTreeMap<String, Hash> = BTreeMap::new();
    // A shared stage refers to shared stages only, so one pass in plan order settles them.
    for stage in plan.stages.iter().filter(|stage| !stage.per_seed) {
        let task = task(plan, stage, None, &shared)?;
        shared.insert(stage.name.clone(), task.hash.clone());
        tasks.push(task);
    }
    for &seed in &plan.seeds {
        let mut known = shared.clone();
        for stage in plan.stages.iter().filter(|stage| stage.per_seed) {
            let task = task(plan, stage, Some(seed), &known)?;
            known.insert(stage.name.clone(), task.hash.clone());
            tasks.push(task);
        }
    }
    Ok(tasks)
}

fn task<'a>(
    plan: &Plan,
    stage: &'a PlannedStage,
    seed: Option<u64>,
    known: &BTreeMap<String, Hash>,
) -> Result<Task<'a>> {
    let inputs = stage
        .inputs()
        .into_iter()
        .map(|name| (name.to_owned(), known[name].clone()))
        .collect();
    Ok(Task {
        stage,
        seed,
        hash: identity(stage, seed.unwrap_or(0), &plan.backend, &inputs)?,
        inputs,
    })
}
