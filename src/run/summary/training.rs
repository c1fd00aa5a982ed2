//! What a report says of training: its curves, what it cost, what was cut, and where chosen replies grew less likely.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::places::METRICS;
use super::super::task::{Done, Task};
use super::found::{ByStage, Lost};
use crate::eval::mean;
use crate::recipe::Plan;
use crate::report::{Curve, Series};
use crate::stage::artifact::measures::{CutOff, Measures};
use crate::stage::settings::produces::Produces;
use crate::store::read_metrics;

/// The lines of a stage's `metrics.jsonl`.
type Steps = Vec<Map<String, Value>>;

/// Each training stage's name, loss, and steps seed by seed.
pub struct Trained<'a> {
    stage: &'a str,
    kind: &'a str,
    losses: Vec<&'a str>,
    runs: Vec<(Option<u64>, Steps)>,
}

/// The steps of every stage that makes a model.
pub fn trained<'a>(finished: &[(&Task<'a>, &Done)], lost: &mut Lost) -> Vec<Trained<'a>> {
    let mut all: Vec<Trained<'a>> = Vec::new();
    for (task, done) in finished {
        let stage = task.stage;
        if stage.produces != Produces::Model {
            continue;
        }
        let lines = lost.or_default(read_metrics(&done.artifact.join(METRICS)));
        match all.iter_mut().find(|it| it.stage == stage.name) {
            Some(known) => known.runs.push((task.seed, lines)),
            None => all.push(Trained {
                stage: &stage.name,
                kind: stage.kind,
                losses: words(stage.settings.get("loss_type")),
                runs: vec![(task.seed, lines)],
            }),
        }
    }
    all
}

/// A word, or a list of them.
fn words(setting: Option<&Value>) -> Vec<&str> {
    match setting {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        one => one.and_then(Value::as_str).into_iter().collect(),
    }
}

/// Training curves: one chart of losses and one of margins for each kind of training.
pub fn curves(trained: &[Trained<'_>]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for stage in trained {
        for (metric, what) in [
            ("loss", "loss"),
            ("eval_loss", "validation loss"),
            ("rewards/margins", "reward margin"),
            ("rewards/accuracies", "reward accuracy"),
            ("objective/scores", "score of sampled replies"),
            ("objective/kl", "KL to the reference"),
        ] {
            let runs = stage.runs.iter();
            let drawn = runs.map(|(seed, lines)| Series {
                name: seed.map_or("all seeds".into(), |seed| format!("seed {seed}")),
                points: points(lines, metric),
            });
            let series: Vec<Series> = drawn.filter(|it| it.points.len() >= 2).collect();
            if !series.is_empty() {
                curves.push(Curve {
                    title: format!("{}: {what}", stage.stage),
                    x_label: "step".into(),
                    y_label: what.into(),
                    series,
                });
            }
        }
    }
    curves
}

fn points(lines: &[Map<String, Value>], metric: &str) -> Vec<(f64, f64)> {
    lines
        .iter()
        .filter_map(|line| Some((line.get("step")?.as_f64()?, line.get(metric)?.as_f64()?)))
        .collect()
}

/// How much computation prefix sharing saved in each training stage.
pub fn costs(measures: &ByStage, plan: &Plan) -> Vec<String> {
    let order = plan.stages.iter().filter_map(|stage| {
        let runs = measures.get(&stage.name)?;
        let total = |name: &str| {
            runs.iter()
                .filter_map(|run| run.numbers.get(name))
                .sum::<f64>()
        };
        let computed = total("computed_tokens");
        let (padded, unshared) = (total("padded_tokens"), total("unshared_tokens"));
        let filled = total("rows_filled") / runs.len().max(1) as f64;
        let peaks = runs.iter().filter_map(|run| run.varying.get("peak_memory_gb"));
        let peak = peaks.copied().reduce(f64::max);
        let peak = peak.map_or(String::new(), |gb| format!("; {gb:.2} GB at the peak of the process"));
        (padded > 0.0).then(|| {
            format!(
                "{}: {computed:.0} tokens computed where a padded batch has {padded:.0} ({:.1} times \
                 as many) and sequences one by one {unshared:.0}; rows {:.1}% full{peak}",
                stage.name,
                padded / computed,
                100.0 * filled
            )
        })
    });
    order.collect()
}

/// The share of prompts that each stage cut, and how many completions, over its seeds, where it cut any.
pub fn cuts(measures: &ByStage, plan: &Plan) -> Vec<String> {
    let stages = plan.stages.iter();
    let runs = stages.filter_map(|stage| Some((&stage.name, measures.get(&stage.name)?)));
    runs.flat_map(|(stage, runs)| cuts_in(stage, runs))
        .collect()
}

fn cuts_in(stage: &str, runs: &[Measures]) -> Vec<String> {
    let mut by: BTreeMap<(&str, &str), CutOff> = BTreeMap::new();
    for cut in runs.iter().flat_map(|run| &run.cuts) {
        // Where a stage samples, what was cut is called by its task.
        let what = cut.what.split(" seed ").next().unwrap_or(&cut.what);
        by.entry((what, &cut.limit))
            .and_modify(|all| all.add(cut))
            .or_insert_with(|| cut.clone());
    }
    let sentence = |((what, limit), told): ((&str, &str), CutOff)| {
        let share = 100.0 * told.prompts as f64 / told.examples as f64;
        let prompts = format!("the prompts of {share:.1}% of {} examples", told.examples);
        let completions = format!("{} completions", told.completions);
        let parts = [(told.prompts, prompts), (told.completions, completions)];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(_, text)| text).collect();
        let limit = limit.trim_end_matches(',');
        format!("{stage}: {limit} cut {} ({what})", parts.join(" and "))
    };
    by.into_iter().map(sentence).collect()
}

/// Of the margin's rise, how much the chosen reward has to fall to be told.
const TOLD: f64 = 0.05;
/// Steps below which nothing is said of a course.
const FEWEST: usize = 10;

/// Where the chosen replies' reward falls while the margin rises.
pub fn fallen(trained: &[Trained<'_>]) -> Vec<String> {
    let of_pairs = trained.iter().filter(|stage| stage.kind == "dpo");
    of_pairs.filter_map(fallen_in).collect()
}

fn fallen_in(stage: &Trained<'_>) -> Option<String> {
    let change = |metric: &str| -> Option<[f64; 2]> {
        let runs = stage.runs.iter().map(|(_, lines)| ends(lines, metric));
        let runs: Vec<[f64; 2]> = runs.collect::<Option<_>>()?;
        let mean_of = |end: usize| mean(&runs.iter().map(|run| run[end]).collect::<Vec<_>>());
        // What rounds to zero has no sign.
        let told = |end: usize| (100.0 * mean_of(end)).round() / 100.0 + 0.0;
        (!runs.is_empty()).then(|| [told(0), told(1)])
    };
    let [before, after] = change("rewards/chosen")?;
    let [apart, further] = change("rewards/margins")?;
    let rise = further - apart;
    if rise <= 0.0 || before - after <= TOLD * rise {
        return None;
    }
    let logps = change("logps/chosen").map_or(String::new(), |[before, after]| {
        format!(" (their log-probs from {before:.1} to {after:.1})")
    });
    let seeds = match stage.runs.len() {
        1 => String::new(),
        count => format!(", over {count} seeds"),
    };
    let has = |loss: &str| stage.losses.contains(&loss);
    let mut remedies = vec![match has("sft") {
        true => "give \"sft\" more of loss_weights".to_owned(),
        false => {
            let losses: Vec<String> = stage.losses.iter().map(|it| format!("{it:?}, ")).collect();
            format!(
                "add their own likelihood (loss_type = [{}\"sft\"])",
                losses.concat()
            )
        }
    }];
    remedies.push("lower learning_rate".to_owned());
    if !has("ipo") {
        remedies.push("take loss_type = \"ipo\", which asks for a margin and no more".to_owned());
    }
    Some(format!(
        "{}: the chosen replies' reward fell from {before:.2} to {after:.2}{logps} while the margin rose from {apart:.2} \
         to {further:.2} (means of the first and last tenth of the steps{seeds}). That is DPO's way and no fault of the \
         run: its loss asks that the rejected replies fall further (TRL issue 800). Where chosen replies have to stay \
         likely: {}.",
        stage.stage,
        remedies.join("; or ")
    ))
}

/// A metric's means over the first and the last tenth of the steps.
fn ends(lines: &[Map<String, Value>], metric: &str) -> Option<[f64; 2]> {
    let values: Vec<f64> = points(lines, metric).into_iter().map(|(_, y)| y).collect();
    let window = values.len() / FEWEST;
    (window > 0).then(|| {
        [
            mean(&values[..window]),
            mean(&values[values.len() - window..]),
        ]
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A run of 20 steps in which the chosen reward and the margin go evenly to where they end.
    fn run(chosen: f64, margin: f64) -> (Option<u64>, Steps) {
        let lines = (0..20).map(|step| {
            let done = f64::from(step) / 19.0;
            let line = json!({
                "step": step,
                "rewards/chosen": chosen * done,
                "rewards/margins": margin * done,
                "logps/chosen": -20.0 + 10.0 * chosen * done,
            });
            line.as_object().cloned().unwrap()
        });
        (Some(1), lines.collect())
    }

    fn told(losses: &[&'static str], runs: &[(f64, f64)]) -> Vec<String> {
        fallen(&[Trained {
            stage: "dpo",
            kind: "dpo",
            losses: losses.to_vec(),
            runs: runs
                .iter()
                .map(|&(chosen, margin)| run(chosen, margin))
                .collect(),
        }])
    }

    #[test]
    fn what_was_cut_is_told_as_a_share_over_all_seeds() {
        let cut = |what: &str, limit: &str, prompts, completions, examples| CutOff {
            what: what.into(),
            limit: limit.into(),
            prompts,
            completions,
            examples,
        };
        let runs = [
            vec![cut("train", "max_length 9", 3, 0, 20)],
            vec![
                cut("train", "max_length 9", 2, 1, 20),
                cut("sft seed 2", "room,", 1, 0, 4),
            ],
        ]
        .map(|cuts| Measures {
            cuts,
            ..Measures::default()
        });
        assert_eq!(
            cuts_in("sft", &runs),
            [
                "sft: room cut the prompts of 25.0% of 4 examples (sft)",
                "sft: max_length 9 cut the prompts of 12.5% of 40 examples and 1 completions (train)",
            ]
        );
    }

    #[test]
    fn a_chosen_reward_that_falls_while_margins_rise_is_told_with_its_remedy() {
        let [note] = &told(&["sigmoid"], &[(-1.0, 3.0), (-0.5, 2.0)])[..] else {
            panic!("nothing was told");
        };
        // Means of steps 0 and 1, and of 18 and 19, of 19.
        for part in [
            "dpo: the chosen replies' reward fell from -0.02 to -0.73",
            "(their log-probs from -20.2 to -27.3)",
            "the margin rose from 0.07 to 2.43",
            "over 2 seeds",
            r#"loss_type = ["sigmoid", "sft"]"#,
            r#"loss_type = "ipo""#,
        ] {
            assert!(note.contains(part), "{part}\nnot in\n{note}");
        }
        let ipo = told(&["ipo"], &[(-1.0, 3.0)]).concat();
        assert!(
            ipo.contains(r#"["ipo", "sft"]"#) && !ipo.contains("take loss_type"),
            "{ipo}"
        );
        assert!(
            told(&["sigmoid", "sft"], &[(-1.0, 3.0)])
                .concat()
                .contains("loss_weights")
        );
        for fine in [(1.0, 3.0), (-0.1, 3.0), (-1.0, -0.5)] {
            assert_eq!(told(&["sigmoid"], &[fine]), [""; 0], "{fine:?}");
        }
        let mut short = run(-1.0, 3.0);
        short.1.truncate(9);
        let stage = Trained {
            stage: "dpo",
            kind: "dpo",
            losses: vec!["sigmoid"],
            runs: vec![short],
        };
        assert_eq!(fallen(&[stage]), [""; 0]);
    }
}
