//! The execution of a plan: which stages are due, in what order, and what becomes of them.

mod dry;
pub mod ledger;
mod places;
mod schedule;
mod summary;
mod task;
mod tensorboard;

use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::backend::default_jobs;
use crate::hub;
use crate::recipe::{Plan, PlannedStage};
use crate::report::{self, RunSummary, Written};
use crate::stage::artifact::folder::parameters;
use crate::stage::kind::Context;
use crate::stage::work::training::memory;
use crate::store::{
    Begun, Found, Manifest, OrBadInput, Owned, Stop, Stopped, Store, read_metrics, say,
};

pub use dry::dry_run;
pub use places::Places;
use places::{METRICS, MODEL, RECIPE, the_model};
use schedule::Schedule;
pub use task::{Done, Task, tasks};
use tensorboard::Follower;

/// Models with as many parameters keep all cores busy, so that their stages gain nothing from running side by side.
const LARGE: usize = 10_000_000;

/// Runs what is due, up to `jobs` stages at a time, then writes the report. What a stage makes does not depend
/// on what runs beside it. Where the user says nothing of `jobs`, what the backend does best at a time, and stages with a
/// [`LARGE`] model alone.
///
/// # Errors
/// The first stage that fails, [`Stopped`] on Ctrl-C among them; what was finished stays and is not run again, and
/// after a failure there is a report of it.
pub fn execute(
    plan: &Plan,
    places: &Places,
    jobs: Option<NonZeroUsize>,
    stop: &Stop,
) -> Result<(RunSummary, Written)> {
    let started = Instant::now();
    let tasks = tasks(plan)?;
    let out = &places.out;
    out.write(RECIPE, plan.resolved_toml.as_bytes())?;
    let there = tasks.iter().map(|task| find(task, &places.store));
    let there: Vec<Option<Done>> = there.collect::<Result<_>>()?;
    let reused: Vec<bool> = there.iter().map(Option::is_some).collect();
    let alone = |at: usize| jobs.is_none() && reads_large(&tasks[at], &tasks, &places.store);
    let schedule = Schedule {
        jobs: jobs.unwrap_or_else(|| default_jobs(&plan.backend)).get(),
        threads: rayon::current_num_threads(),
        stop,
        alone: &alone,
        beside: memory::share,
    };
    let done = schedule.run(&needs(&tasks), there, |at, stop| {
        run_task(plan, &tasks[at], &tasks, places, stop)
            .with_context(|| format!("stage {}", tasks[at].label()))
    });
    let report = |done: &[Option<Done>], failure: Option<&anyhow::Error>| -> Result<_> {
        let all = tasks.iter().zip(done);
        let finished = all.filter_map(|(task, done)| Some((task, done.as_ref()?)));
        let finished: Vec<(&Task<'_>, &Done)> = finished.collect();
        let mut run = summary::summarise(plan, &finished);
        if let Some(failure) = failure {
            run.notes.insert(
                0,
                format!("The run failed, and this is what was finished: {failure:#}"),
            );
        }
        run.wall_seconds = started.elapsed().as_secs_f64();
        write_outputs(plan, &finished, out)?;
        for (task, done) in finished.iter().filter(|(_, done)| done.reused) {
            if let Some(dir) = places.events(&task.label()) {
                tensorboard::write(&done.artifact.join(METRICS), &dir)?;
            }
        }
        let written = report::write(out, &run)?;
        Ok((run, written))
    };
    match done {
        Ok(done) => report(&done.into_iter().map(Some).collect::<Vec<_>>(), None),
        Err(error) if error.is::<Stopped>() => Err(error),
        Err(error) => {
            let found = tasks.iter().zip(reused).map(|(task, reused)| {
                let done = find(task, &places.store).ok().flatten()?;
                Some(Done { reused, ..done })
            });
            let found: Vec<Option<Done>> = found.collect();
            if found.iter().any(Option::is_some) {
                match report(&found, Some(&error)) {
                    Ok((_, written)) => say(&format!(
                        "report of what was finished: {}",
                        written.html.display()
                    )),
                    Err(second) => say(&format!("no report of what was finished: {second:#}")),
                }
            }
            Err(error)
        }
    }
}

/// What each task waits for: its inputs, and an earlier one that makes the same artifact.
fn needs(tasks: &[Task<'_>]) -> Vec<Vec<usize>> {
    let all = tasks.iter().enumerate();
    all.map(|(at, task)| {
        let before = tasks[..at].iter().enumerate();
        let needed = before.filter(|(_, other)| {
            other.hash == task.hash || task.inputs.values().any(|input| *input == other.hash)
        });
        needed.map(|(other, _)| other).collect()
    })
    .collect()
}

/// Whether a task computes with a [`LARGE`] model, its inputs being there.
fn reads_large(task: &Task<'_>, all: &[Task<'_>], store: &Store) -> bool {
    task.stage.uses_backend
        && all
            .iter()
            .filter(|other| task.inputs.values().any(|input| *input == other.hash))
            .filter_map(|input| parameters(&store.path(input.stage.kind, &input.hash)))
            .any(|parameters| parameters >= LARGE)
}

/// The task's artifact, if it was finished before. One that is damaged is made anew, although what was made from it
/// stays.
fn find(task: &Task<'_>, store: &Store) -> Result<Option<Done>> {
    match store.look(task.stage.kind, &task.hash) {
        Found::Whole(artifact) => Done::before(artifact).map(Some),
        Found::Absent | Found::Damaged(_) => Ok(None),
    }
}

fn run_task(
    plan: &Plan,
    task: &Task<'_>,
    all: &[Task<'_>],
    places: &Places,
    stop: &Stop,
) -> Result<Done> {
    let (stage, store) = (task.stage, &places.store);
    let work = match store.begin(stage.kind, &task.hash, stop)? {
        Begun::Finished(artifact) => return Done::before(artifact),
        Begun::Work(work) => work,
    };
    let started = Instant::now();
    let inputs = task
        .inputs
        .iter()
        .map(|(name, hash)| {
            let kind = all
                .iter()
                .find(|other| other.stage.name == *name)
                .map_or("", |other| other.stage.kind);
            (name.clone(), store.path(kind, hash))
        })
        .collect();
    fetch(stage, stop)?;
    let events = places.events(&task.label());
    let follower = events.map(|dir| Follower::start(work.dir().join(METRICS), dir));
    let made = stage.stage.run(&Context {
        dir: work.dir().to_owned(),
        seed: task.seed.unwrap_or(0),
        backend: plan.backend.clone(),
        inputs,
        label: task.label(),
        stop: stop.clone(),
        store: store.clone(),
    });
    if let Some(follower) = follower {
        follower.finish();
    }
    blame(stage, made)?;
    let seconds = started.elapsed().as_secs_f64();
    let manifest = Manifest {
        kind: stage.kind.to_owned(),
        name: stage.name.clone(),
        hash: task.hash.clone(),
        inputs: task.inputs.clone(),
        settings: stage.settings.clone(),
        backend: plan.backend.clone(),
        seconds,
        created: Manifest::now(),
    };
    let artifact = work.finish(&manifest)?;
    say(&format!("{:24} done in {seconds:.1} s", task.label()));
    Ok(Done {
        artifact,
        manifest,
        reused: false,
    })
}

/// Brings what a stage takes from a hub into the cache.
fn fetch(stage: &PlannedStage, stop: &Stop) -> Result<()> {
    for link in &stage.on_hub {
        if let Some(pinned) = &link.to.pinned {
            hub::fetch(pinned, link.to.wanted, stop)?;
        }
    }
    Ok(())
}

/// A stage that builds on no other has read nothing but what its user gave, so that its failure is bad input.
fn blame(stage: &PlannedStage, made: Result<()>) -> Result<()> {
    match stage.refs.is_empty() && !(stage.paths.is_empty() && stage.on_hub.is_empty()) {
        true => made.or_bad_input(),
        false => made,
    }
}

/// Puts the run's step metrics, and its model where it makes exactly one for its user, beside the
/// report.
fn write_outputs(plan: &Plan, finished: &[(&Task<'_>, &Done)], out: &Owned) -> Result<()> {
    let mut lines = Vec::new();
    for (task, done) in finished {
        // What cannot be read is told in the report.
        for mut line in read_metrics(&done.artifact.join(METRICS)).unwrap_or_default() {
            line.insert("stage".into(), task.stage.name.clone().into());
            if let Some(seed) = task.seed {
                line.insert("seed".into(), seed.into());
            }
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
        }
    }
    out.write(METRICS, &lines)?;
    let name = the_model(plan);
    let of_user = finished
        .iter()
        .find(|(task, _)| Some(&*task.stage.name) == name);
    let Some((task, done)) = of_user else {
        return Ok(());
    };
    // A reward model of several models has no one folder.
    let model = done.artifact.join(MODEL);
    match model.is_dir() {
        true => out.copy(MODEL, &model, &format!("{}-{}", task.stage.kind, task.hash)),
        false => Ok(()),
    }
}
