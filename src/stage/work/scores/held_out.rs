//! How well a reward model scores what it has not read.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};

use crate::data::{Example, Rated, Role};
use crate::eval::correlation::pearson;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::stage::settings::precision::Bf16;
use crate::stage::work::scores::rating_errors::{self, Cluster};
use crate::stage::work::scores::scorer::Scorer;
use crate::store::Progress;

/// The scores of some examples' completions by a reward model, with the name of each.
fn scores(
    context: &Context,
    scorer: &Scorer,
    examples: &[Example],
    measures: &mut Measures,
) -> Result<(Vec<String>, Vec<Vec<f64>>)> {
    let what = format!("{} (test)", context.label);
    let progress = Progress::new(&what, examples.len());
    let scores = scorer.scores(examples, &what, measures, |done| {
        progress.at(done);
        !context.stop.requested()
    })?;
    progress.finish();
    context.stop.check()?;
    Ok((scorer.labels().to_vec(), scores.unwrap_or_default()))
}

/// Predicted against given ratings, and against the truth where it is known.
pub fn ratings(
    context: &Context,
    (model, bf16): (&Path, Bf16),
    rows: &[Rated],
    cluster: Cluster,
    measures: &mut Measures,
) -> Result<()> {
    let scorer = Scorer::open(model, bf16.device(&context.backend))?;
    let examples = rows.iter().map(|row| scorer.dialogue(row));
    let examples = examples.collect::<Result<Vec<_>>>()?;
    let (labels, scores) = scores(context, &scorer, &examples, measures)?;
    for (place, label) in labels.iter().enumerate() {
        // In a world there is a truth behind the ratings, which no rater's error keeps a model from.
        let truths = rows.iter().zip(&scores).filter_map(|(row, scores)| {
            let truth = row.truth.as_ref()?.get(label)?;
            Some((scores[place], *truth))
        });
        let (predicted, truths): (Vec<f64>, Vec<f64>) = truths.unzip();
        if let Some(found) = pearson(&predicted, &truths) {
            measures
                .numbers
                .insert(format!("truth_pearson.{label}"), found);
        }
    }
    rating_errors::measure(rows, &labels, &scores, cluster, &context.dir, measures)
}

/// How often, and by how much, the chosen one of two scores higher.
pub fn pairs(
    context: &Context,
    (model, bf16): (&Path, Bf16),
    examples: &[Example],
    measures: &mut Measures,
) -> Result<()> {
    if examples.is_empty() {
        measures.note("no pairs held out for testing");
        return Ok(());
    }
    let scorer = Scorer::open(model, bf16.device(&context.backend))?;
    let (_, scores) = scores(context, &scorer, examples, measures)?;
    let apart: Vec<f64> = scores
        .chunks(2)
        .map(|pair| pair[0][0] - pair[1][0])
        .collect();
    let right = apart.iter().map(|it| f64::from(u8::from(*it > 0.0)));
    measures.mean("test_accuracy", right.collect());
    measures.mean("test_margin", apart);
    let rewards: Vec<f64> = scores.iter().map(|it| it[0]).collect();
    let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
    measures.numbers.insert("test_mean_reward".into(), mean);
    Ok(())
}

/// How often the likeliest class is the right one: over all, and of each class.
pub fn classes(
    context: &Context,
    (model, bf16): (&Path, Bf16),
    examples: &[Example],
    measures: &mut Measures,
) -> Result<()> {
    if examples.is_empty() {
        measures.note("no examples held out for testing");
        return Ok(());
    }
    let scorer = Scorer::open(model, bf16.device(&context.backend))?;
    let (labels, scores) = scores(context, &scorer, examples, measures)?;
    let (mut right, mut of_class) = (Vec::new(), BTreeMap::<&str, (f64, f64)>::new());
    let mut predicted: BTreeMap<&str, f64> = BTreeMap::new();
    for (example, scores) in examples.iter().zip(&scores) {
        let likeliest = scores
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map_or("", |(at, _)| &*labels[at]);
        let class = class_of(example)?;
        let hit = f64::from(u8::from(likeliest == class));
        right.push(hit);
        let (hits, all) = of_class.entry(class).or_default();
        (*hits, *all) = (*hits + hit, *all + 1.0);
        *predicted.entry(likeliest).or_default() += 1.0;
    }
    measures.mean("test_accuracy", right);
    for (class, (hits, all)) in of_class {
        let numbers = &mut measures.numbers;
        numbers.insert(format!("recall.{class}"), hits / all);
        // Of what is never predicted nothing is right or wrong.
        if let Some(predicted) = predicted.get(class) {
            numbers.insert(format!("precision.{class}"), hits / predicted);
        }
    }
    Ok(())
}

/// The class that an example is labelled with.
pub fn class_of(example: &Example) -> Result<&str> {
    match example.completions.first().map(|it| &it.role) {
        Some(Role::Candidate(class)) => Ok(class),
        _ => bail!("example {}: has no class", example.id),
    }
}
