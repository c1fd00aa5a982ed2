//! From finished artifacts to a report: numbers over seeds, claims, tables, curves and samples.

mod found;
mod models;
mod training;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::task::{Done, Task};
use crate::data::{Said, template};
use crate::eval::{mean_interval, paired_difference};
use crate::recipe::{self, Plan};
use crate::report::{
    Cell, ClaimResult, Column, Machine, MetricSummary, Reply, Reported, Row, RunSummary,
    SampleBlock, StageSummary, Table, Unit, Utterance,
};
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::replied::Replied;
use found::{ByStage, Lost};
use models::model_of;

const RESAMPLES: usize = 2000;
const SAMPLES: usize = 6;

/// Gathers a run's summary; `wall_seconds` is left to the caller. What cannot be read or combined is named in a note
/// and keeps nothing else from being shown.
pub fn summarise(plan: &Plan, finished: &[(&Task<'_>, &Done)]) -> RunSummary {
    let mut lost = Lost::default();
    let mut measures = ByStage::new();
    let mut stages = Vec::new();
    let mut parameters = None;
    for (task, done) in finished {
        let found = lost.or_default(Measures::read(&done.artifact));
        if let Some(&count) = found.numbers.get("parameters") {
            parameters = Some(parameters.unwrap_or(0).max(count as u64));
        }
        stages.push(StageSummary {
            name: task.stage.name.clone(),
            kind: task.stage.kind.to_owned(),
            seed: task.seed,
            hash: task.hash.to_string(),
            seconds: done.manifest.seconds,
            reused: done.reused,
            artifact: done.artifact.display().to_string(),
            notes: found.notes.clone(),
        });
        measures
            .entry(task.stage.name.clone())
            .or_default()
            .push(found);
    }
    let metrics = metrics(&measures, &mut lost);
    let trained = training::trained(finished, &mut lost);
    let curves = training::curves(&trained);
    let samples = samples(finished, &mut lost);
    RunSummary {
        recipe: plan.name.clone(),
        profile: plan.profile.clone(),
        backend: plan.backend.clone(),
        overrides: plan.sets.clone(),
        given: plan
            .given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        seeds: plan.seeds.clone(),
        title: plan.title.clone(),
        paper: plan.paper.clone(),
        about: plan.about.clone(),
        claims: plan
            .claims
            .iter()
            .map(|claim| {
                let model = model_of(plan, &claim.better.stage, &measures);
                self::claim(claim, &measures, &metrics).beside(model, &claim.findings)
            })
            .collect(),
        tables: plan
            .tables
            .iter()
            .map(|table| {
                let model = |stage: &str| model_of(plan, stage, &measures);
                self::table(table, model, &metrics)
            })
            // Of numbers that this profile does not measure there is no table.
            .filter(|table| !table.columns.is_empty())
            .collect(),
        curves,
        samples,
        notes: lost
            .0
            .into_iter()
            .chain(training::fallen(&trained))
            .collect(),
        machine: Machine::this(),
        parameters,
        costs: [training::costs, training::cuts]
            .iter()
            .flat_map(|told| told(&measures, plan))
            .collect(),
        stages,
        metrics,
        ..RunSummary::default()
    }
}

/// Numbers that are shares.
fn unit(measures: &[Measures], name: &str) -> Unit {
    let share = |m: &Measures| {
        m.shares.contains(name) || m.items.contains_key(name) && !m.scores.contains(name)
    };
    match measures.iter().any(share) {
        true => Unit::Share,
        false => Unit::Plain,
    }
}

fn metrics(measures: &ByStage, lost: &mut Lost) -> BTreeMap<String, MetricSummary> {
    let mut metrics = BTreeMap::new();
    // Metrics of one stage without an interval, by the reason.
    let mut without: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for (stage, runs) in measures {
        let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.numbers.keys()).collect();
        for name in names {
            let unit = unit(runs, name);
            let interval = items(runs, name).map(|items| mean_interval(&items, RESAMPLES, 0));
            let summary = match interval {
                Some(Ok(interval)) => MetricSummary::of_interval(&interval, unit),
                other => {
                    if let Some(Err(why)) = other {
                        without
                            .entry((stage, why.to_string()))
                            .or_default()
                            .push(name);
                    }
                    let numbers = runs.iter().filter_map(|run| run.numbers.get(name).copied());
                    MetricSummary::of_seeds(numbers.collect(), unit)
                }
            };
            metrics.insert(format!("{stage}.{name}"), summary);
        }
    }
    lost.0
        .extend(without.into_iter().map(|((stage, why), names)| {
            format!(
                "{stage}: {} shown by seed, without an interval: {why}.",
                names.join(", ")
            )
        }));
    metrics
}

/// The values of every item, seed by seed, if every seed has them.
fn items(runs: &[Measures], name: &str) -> Option<Vec<Vec<f64>>> {
    let items: Option<Vec<Vec<f64>>> = runs
        .iter()
        .map(|run| run.items.get(name).cloned())
        .collect();
    items.filter(|items| items.iter().all(|values| !values.is_empty()))
}

fn claim(
    claim: &recipe::Claim,
    measures: &ByStage,
    metrics: &BTreeMap<String, MetricSummary>,
) -> ClaimResult {
    let result = ClaimResult::unmeasured(&claim.id, &claim.statement, &claim.paper);
    let find = |metric: &recipe::Metric| -> Result<Vec<Vec<f64>>, String> {
        let recipe::Metric { stage, metric } = metric;
        let runs = measures
            .get(stage)
            .ok_or_else(|| format!("{stage} was not finished"))?;
        items(runs, metric)
            .ok_or_else(|| format!("{stage} has not measured {metric} by item for every seed"))
    };
    let name = format!("{}.{}", claim.better.stage, claim.better.metric);
    let unit = metrics.get(&name).map_or(Unit::Plain, |metric| metric.unit);
    let sides = find(&claim.better).and_then(|better| Ok((better, find(&claim.than)?)));
    let (mut better, mut than) = match sides {
        Ok(sides) => sides,
        Err(why) => return result.because(why),
    };
    // A model that is shared by all seeds stands against each of them.
    let seeds = better.len().max(than.len());
    for side in [&mut better, &mut than] {
        if side.len() == 1 {
            *side = vec![side[0].clone(); seeds];
        }
    }
    match paired_difference(&better, &than, RESAMPLES, 0) {
        Ok(difference) => result.judged(&difference, claim.by, claim.direction, unit),
        Err(why) => result.because(why.to_string()),
    }
}

fn table(
    table: &recipe::Table,
    model: impl Fn(&str) -> String,
    metrics: &BTreeMap<String, MetricSummary>,
) -> Table {
    let key =
        |row: &recipe::Row, column: &recipe::Column| format!("{}.{}", row.stage, column.metric);
    let (places, columns): (Vec<usize>, Vec<recipe::Column>) =
        columns(table, metrics).into_iter().unzip();
    // A column that stands for several has none of the paper's.
    let paper = |numbers: &Vec<Option<Reported>>| places.iter().map(|&at| numbers[at]).collect();
    let papers_own = table.paper_rows.iter().map(|row| Row {
        name: format!("{}, the paper's {}", row.name, row.model),
        cells: vec![None; columns.len()],
        paper: paper(&row.values),
        paper_model: row.model.clone(),
        ..Row::default()
    });
    Table {
        title: table.title.clone(),
        columns: columns
            .iter()
            .map(|column| Column {
                name: column.name.clone(),
                unit: table
                    .rows
                    .iter()
                    .find_map(|row| metrics.get(&key(row, column)))
                    .map_or(Unit::Plain, |metric| metric.unit),
            })
            .collect(),
        rows: table
            .rows
            .iter()
            .enumerate()
            .map(|(index, row)| Row {
                name: row.name.clone(),
                cells: columns
                    .iter()
                    .map(|column| metrics.get(&key(row, column)).map(Cell::from))
                    .collect(),
                paper: table.paper.get(index).map(paper).unwrap_or_default(),
                model: model(&row.stage),
                paper_model: row.paper_model.clone(),
            })
            .chain(papers_own)
            .collect(),
        ..Table::default()
    }
}

/// The columns, each with its place in the recipe; for one that stands for several, those that some row has.
fn columns(
    table: &recipe::Table,
    metrics: &BTreeMap<String, MetricSummary>,
) -> Vec<(usize, recipe::Column)> {
    let mut columns = Vec::new();
    for (at, column) in table.columns.iter().enumerate() {
        let Some(prefix) = column.prefix() else {
            columns.push((at, column.clone()));
            continue;
        };
        let starts = table
            .rows
            .iter()
            .map(|row| format!("{}.{prefix}", row.stage));
        let rests: BTreeSet<&str> = starts
            .flat_map(|start| {
                let names = metrics.keys();
                names.filter_map(move |name| name.strip_prefix(&start))
            })
            .collect();
        columns.extend(rests.into_iter().map(|rest| {
            let name = column.name.replace('*', &rest.replace('_', " "));
            let metric = format!("{prefix}{rest}");
            (at, recipe::Column { name, metric })
        }));
    }
    columns
}

/// The first seed's replies of every model, side by side: first where they differ in failing, then where all
/// fail, then as they come.
fn samples(finished: &[(&Task<'_>, &Done)], lost: &mut Lost) -> Vec<SampleBlock> {
    let first = finished.iter().find_map(|(task, _)| task.seed);
    let mut models: Vec<(&str, Vec<Replied>)> = Vec::new();
    for (task, done) in finished {
        if task.seed.is_none() || task.seed == first {
            let replies = lost.or_default(Replied::read(&done.artifact));
            if !replies.is_empty() {
                models.push((&task.stage.name, replies));
            }
        }
    }
    let Some((_, places)) = models.first() else {
        return Vec::new();
    };
    // Models that were asked elsewhere, as in another world, cannot be shown beside the first.
    let asked = |replies: &[Replied], at: usize| -> bool {
        let place = replies.get(at);
        place.is_some_and(|it| (&it.head, &it.history) == (&places[at].head, &places[at].history))
    };
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&at| {
        let here = models.iter().filter(|(_, replies)| asked(replies, at));
        let failed: Vec<bool> = here.map(|(_, replies)| replies[at].failed).collect();
        match (failed.contains(&true), failed.contains(&false)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    });
    let block =
        |at: usize| SampleBlock {
            head: places[at].head.clone(),
            history: places[at].history.iter().map(utterance).collect(),
            replies: std::iter::once(Reply {
                model: "reference".into(),
                text: places[at].reference.clone(),
                verdict: None,
            })
            .chain(models.iter().filter(|(_, replies)| asked(replies, at)).map(
                |(name, replies)| Reply {
                    model: (*name).to_owned(),
                    text: replies[at].reply.clone(),
                    verdict: replies[at].verdict.clone(),
                },
            ))
            .collect(),
        };
    order.into_iter().take(SAMPLES).map(block).collect()
}

/// A turn for the report; what neither side says has no speaker.
fn utterance(said: &Said) -> Utterance {
    let (speaker, text) = match said {
        Said::Turn(turn) => (template::name(turn.speaker), &turn.text),
        Said::Note(note) => ("", note),
    };
    Utterance {
        speaker: speaker.to_owned(),
        text: text.clone(),
    }
}

#[cfg(test)]
mod tests;
