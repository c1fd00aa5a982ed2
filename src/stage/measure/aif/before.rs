//! A trained model's replies beside those of the model before training: what was gained, and where the reward has risen
//! at the expense of what it stands for.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::eval::hacking::{Diagnostics, hacking};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;

/// Adds both; `reward` is the reward model's artifact, `labels` all that it rates, `weighed` what of it is rewarded.
///
/// # Errors
/// Measures that cannot be read.
pub fn compare(
    context: &Context,
    (before, reward): (&StageRef, &Path),
    (labels, weighed): (&[String], &[(String, f64)]),
    measures: &mut Measures,
) -> Result<()> {
    let earlier = Measures::read(context.input(before))?;
    gain(
        &earlier,
        &Measures::read(reward)?,
        (labels, weighed),
        measures,
    );
    flag(&earlier, &before.name, measures)
}

/// Adds `before.aif` and, where an oracle knows it, `before.oracle`: what the same prompts' replies were worth before
/// training. `others.aif` and `others.oracle` are by how much the impressions that were not rewarded have changed, their
/// mean; `correlation` is the reward model's with the raters, on dialogues held out, of those that were.
fn gain(
    earlier: &Measures,
    reward: &Measures,
    (labels, weighed): (&[String], &[(String, f64)]),
    measures: &mut Measures,
) {
    for name in ["aif", "oracle"] {
        if let Some(items) = earlier.items.get(name).cloned() {
            measures.mean_score(&format!("before.{name}"), items);
        }
        let others = labels
            .iter()
            .filter(|label| weighed.iter().all(|(rewarded, _)| rewarded != *label));
        let changes: Vec<Vec<f64>> = others
            .filter_map(|label| {
                let name = format!("{name}.{label}");
                let (now, then) = (measures.items.get(&name)?, earlier.items.get(&name)?);
                let alike = now.len() == then.len();
                alike.then(|| now.iter().zip(then).map(|(now, then)| now - then).collect())
            })
            .collect();
        if let Some(first) = changes.first() {
            let of = |at: usize| changes.iter().map(|it| it[at]).sum::<f64>();
            let means = (0..first.len()).map(|at| of(at) / changes.len() as f64);
            measures.mean_score(&format!("others.{name}"), means.collect());
        }
    }
    let found = weighed
        .iter()
        .map(|(name, _)| reward.numbers.get(&format!("pearson.{name}")).copied());
    let found: Option<Vec<f64>> = found.collect();
    if let Some(found) = found.filter(|found| !found.is_empty()) {
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        measures.numbers.insert("correlation".into(), mean);
    }
}

/// Says where the reward has risen at the expense of what it stands for.
fn flag(earlier: &Measures, before: &str, measures: &mut Measures) -> Result<()> {
    // A sign is looked for only in what both sides have; of replies, both have a length.
    let measured = |measures: &Measures| measures.numbers.contains_key("mean_length");
    ensure!(
        measured(measures) || !measured(earlier),
        "the replies were compared before they were measured; this is a mistake in the program"
    );
    let compare = |earlier: &Diagnostics, now: &Diagnostics| {
        hacking(earlier, now).with_context(|| format!("against @{}", before))
    };
    let mut found: Vec<(String, String)> = Vec::new();
    for finding in compare(&diagnostics(earlier), &diagnostics(measures))? {
        found.push((finding.name.to_owned(), finding.words));
    }
    // What the oracle knows of a reply's form is no part of what it stands for, but has to hold too.
    for form in ["well_formed", "on_topic", "naturalness"] {
        let alone = |measures: &Measures| Diagnostics {
            reward: items(measures, "aif").unwrap_or_default(),
            oracle: items(measures, &format!("oracle.{form}")),
            ..Diagnostics::default()
        };
        for finding in compare(&alone(earlier), &alone(measures))? {
            found.push((form.to_owned(), finding.words));
        }
    }
    measures
        .numbers
        .insert("hacking".into(), found.len() as f64);
    if found.is_empty() {
        measures.note(format!("no sign of reward hacking against @{}", before));
    }
    for (name, words) in found {
        measures.note(format!(
            "reward hacking against @{} ({name}): {words}",
            before
        ));
    }
    Ok(())
}

/// The values of a number by reply, of the one seed that a stage is of.
fn items(measures: &Measures, name: &str) -> Option<Vec<Vec<f64>>> {
    measures.items.get(name).map(|items| vec![items.clone()])
}

fn diagnostics(measures: &Measures) -> Diagnostics {
    let items = |name: &str| items(measures, name);
    let number = |name: &str| measures.numbers.get(name).copied();
    Diagnostics {
        reward: items("aif").unwrap_or_default(),
        oracle: items("oracle"),
        dull: items("dull_rate"),
        distinct_2: number("distinct_2"),
        self_bleu: number("self_bleu"),
        mean_length: number("mean_length"),
        perplexity: number("reference_perplexity"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reward_that_rises_while_variety_falls_is_hacked() {
        let measures = |reward: f64, distinct_2: f64| {
            let mut measures = Measures::default();
            measures.mean_score("aif", vec![reward; 50]);
            for (name, value) in [("mean_length", 9.0), ("distinct_2", distinct_2)] {
                measures.numbers.insert(name.into(), value);
            }
            measures
        };
        let before = measures(0.0, 0.15);
        for (reward, distinct_2, signs) in [(1.0, 0.05, 1.0), (1.0, 0.14, 0.0), (-1.0, 0.05, 0.0)] {
            let mut after = measures(reward, distinct_2);
            flag(&before, "before", &mut after).unwrap();
            assert_eq!(after.numbers["hacking"], signs, "{:?}", after.notes);
        }
        let mut early = Measures::default();
        early.mean_score("aif", vec![1.0; 50]);
        assert!(flag(&before, "before", &mut early).is_err());
    }

    #[test]
    fn a_reward_that_rises_while_form_falls_is_hacked() {
        let measures = |reward: f64, formed: f64| {
            let mut measures = Measures::default();
            measures.mean_score("aif", vec![reward; 50]);
            measures.mean("oracle.well_formed", vec![formed; 50]);
            measures
        };
        let before = measures(0.0, 1.0);
        for (reward, formed, signs) in [(1.0, 0.5, 1.0), (1.0, 1.0, 0.0), (-1.0, 0.5, 0.0)] {
            let mut after = measures(reward, formed);
            flag(&before, "before", &mut after).unwrap();
            assert_eq!(after.numbers["hacking"], signs, "{:?}", after.notes);
            let named = after.notes.iter().any(|it| it.contains("(well_formed)"));
            assert_eq!(named, signs > 0.0, "{:?}", after.notes);
        }
    }

    #[test]
    fn what_was_gained_is_of_the_rewarded_impression_and_of_the_others() {
        let measures = |trust: [f64; 2], ease: [f64; 2], topic: [f64; 2]| {
            let mut measures = Measures::default();
            measures.mean_score("aif", trust.to_vec());
            for (name, values) in [("trust", trust), ("ease", ease), ("topic", topic)] {
                measures.mean_score(&format!("aif.{name}"), values.to_vec());
            }
            measures
        };
        let before = measures([1.0, 2.0], [5.0, 5.0], [3.0, 4.0]);
        let mut after = measures([2.0, 4.0], [6.0, 5.0], [3.0, 2.0]);
        let mut reward = Measures::default();
        for (name, found) in [("pearson.trust", 0.7), ("pearson.ease", 0.2)] {
            reward.numbers.insert(name.into(), found);
        }
        let labels = ["ease", "topic", "trust"].map(str::to_owned);
        let weighed = [("trust".to_owned(), 1.0)];
        gain(&before, &reward, (&labels, &weighed), &mut after);
        assert_eq!(after.items["before.aif"], [1.0, 2.0]);
        // Ease by +1 and 0, topic by 0 and -2.
        assert_eq!(after.items["others.aif"], [0.5, -1.0]);
        assert_eq!(after.numbers["others.aif"], -0.25);
        assert_eq!(after.numbers["correlation"], 0.7);
        assert!(!after.items.contains_key("before.oracle"));
    }
}
