//! How well scores of dialogues agree with their raters: the same measures for every model that scores.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::data::Rated;
use crate::eval::correlation::{Agreement, Calibration, Estimate};
use crate::eval::{Noise, mae_items, pearson_items};
use crate::stage::artifact::measures::Measures;
use crate::stage::settings::keys::Keys;
use crate::store::{write_json, write_jsonl};

/// Where the calibration curves go: by impression.
const CALIBRATION: &str = "calibration.json";
/// Where the predictions go: a line a dialogue.
const PREDICTED: &str = "predicted.jsonl";

/// The correlation from which on an impression counts as learned, if it is also this share of its ceiling.
const TRUSTED: f64 = 0.6;
const NEAR: f64 = 0.8;

/// The fewest systems whose means are correlated.
const SYSTEMS: usize = 3;

/// What dialogues are drawn by when intervals are computed: those that share it are not independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    Dialogue,
    Speaker,
    System,
}

impl Cluster {
    /// Reads the key `cluster`.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        keys.doc("what intervals are drawn by; name what the data is split by")
            .one_of(
                "cluster",
                "dialogue",
                &[
                    ("dialogue", Cluster::Dialogue),
                    ("speaker", Cluster::Speaker),
                    ("system", Cluster::System),
                ],
            )
    }

    /// The one that a row is of; empty where it does not say.
    fn of(self, row: &Rated) -> &str {
        match self {
            Cluster::Dialogue => &row.dialogue,
            Cluster::Speaker => &row.speaker,
            Cluster::System => &row.system,
        }
    }

    /// Numbers for the rows' clusters. A row that does not name its own stands alone; how many are there too.
    fn number(self, rows: &[Rated]) -> (Vec<u32>, usize) {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut unnamed = 0;
        let mut next = 0;
        let numbers = rows.iter().map(|row| {
            let name = self.of(row);
            let number = match known.get(name).filter(|_| !name.is_empty()) {
                Some(&number) => return number,
                None => next,
            };
            next += 1;
            match name.is_empty() {
                true => unnamed += 1,
                false => {
                    known.insert(name, number);
                }
            }
            number
        });
        (numbers.collect(), unnamed)
    }
}

/// The impressions that are rated in `rows`, or those `wanted` of them where any are.
///
/// # Errors
/// Rows without ratings, or a wanted impression that nobody has rated.
pub fn impressions(rows: &[Rated], wanted: &[String]) -> Result<Vec<String>> {
    let ratings = rows.iter().flat_map(|row| &row.ratings);
    let known: BTreeSet<&String> = ratings.flat_map(|rating| rating.scores.keys()).collect();
    ensure!(!known.is_empty(), "the dialogues have no ratings at all");
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
        bail!(
            "impressions: nobody has rated {unknown:?}; there are {}",
            known.join(", ")
        );
    }
    Ok(match wanted.is_empty() {
        true => known.into_iter().cloned().collect(),
        false => wanted.to_vec(),
    })
}

/// Measures how `predicted`, by row and impression, agrees with the rows' mean ratings.
///
/// For each impression there are `pearson.NAME`, `spearman.NAME` and `mae.NAME`, each with the ends of its 95% interval
/// (`pearson_low.NAME`, ...); `calibration_error.NAME`, and the curve in `calibration.json`; where several raters rate a
/// dialogue, `ceiling.NAME`, estimated from the rows' own ratings (see [`Noise`]), and `of_ceiling.NAME`, the share of
/// it that Pearson's correlation reaches; with at least three systems, `system_pearson.NAME` and
/// `system_spearman.NAME` of their means; and `learned`, the number of impressions with a correlation of at least 0.6
/// that is at least 0.8 of its ceiling. A name without an impression is the mean over impressions. Where each row is
/// a cluster, `pearson` and `mae` can be compared row by row. `predicted.jsonl` keeps the predictions.
///
/// # Errors
/// When a file cannot be written.
///
/// # Panics
/// When there are not as many predictions as rows and impressions: a mistake in the program.
pub fn measure(
    rows: &[Rated],
    impressions: &[String],
    predicted: &[Vec<f64>],
    cluster: Cluster,
    dir: &Path,
    measures: &mut Measures,
) -> Result<()> {
    let (clusters, unnamed) = cluster.number(rows);
    if unnamed > 0 && cluster != Cluster::Dialogue {
        measures.note(format!(
            "{unnamed} of {} dialogues do not name their {}, and count as independent of all others",
            rows.len(),
            match cluster {
                Cluster::System => "system",
                _ => "speaker",
            }
        ));
    }
    let of_clusters = clusters.iter().max().map_or(0, |last| *last as usize + 1);
    let comparable = of_clusters == rows.len();
    let (systems, nameless) = Cluster::System.number(rows);
    let of_systems = systems.iter().max().map_or(0, |last| *last as usize + 1);
    let mut found = Found::default();
    for (column, name) in impressions.iter().enumerate() {
        let predicted: Vec<f64> = predicted.iter().map(|scores| scores[column]).collect();
        let rated: Vec<Option<f64>> = rows.iter().map(|row| row.mean(name)).collect();
        let agreement = Agreement::of(&predicted, &rated, &clusters, 0);
        found.estimate("pearson", name, agreement.pearson);
        found.estimate("spearman", name, agreement.spearman);
        found.estimate("mae", name, agreement.mae);
        if comparable {
            found.items("pearson", name, pearson_items(&predicted, &rated));
            found.items("mae", name, mae_items(&predicted, &rated));
        }
        if agreement.missing > 0 {
            measures.note(format!(
                "{name}: {} of {} dialogues left out for want of a rating or of a finite score",
                agreement.missing,
                rows.len()
            ));
        }
        if agreement.pearson.is_none() {
            measures.note(format!(
                "{name}: no correlation, for want of dialogues or because scores or ratings are all the same"
            ));
        }
        if let Some(curve) = agreement.calibration {
            found.number("calibration_error", name, curve.error);
            found.calibration.insert(name.clone(), curve);
        }
        let scores = |row: &Rated| -> Vec<f64> {
            let given = row.ratings.iter();
            given
                .filter_map(|rating| rating.scores.get(name).copied())
                .collect()
        };
        let ratings: Vec<Vec<f64>> = rows.iter().map(scores).collect();
        match Noise::of(&ratings) {
            Some(noise) => {
                found.number("reliability", name, noise.mean_reliability);
                found.number("ceiling", name, noise.ceiling);
                if let Some(pearson) = agreement.pearson {
                    found.number("of_ceiling", name, pearson.value / noise.ceiling);
                }
            }
            None => measures.note(format!(
                "{name}: no ceiling, for want of dialogues on which raters can be seen to agree"
            )),
        }
        if of_systems >= SYSTEMS && nameless == 0 {
            let of = Agreement::of_groups(&predicted, &rated, &systems, 0);
            found.estimate("system_pearson", name, of.pearson);
            found.estimate("system_spearman", name, of.spearman);
        }
    }
    measures.note(format!(
        "{} dialogues in {of_clusters} clusters; intervals draw whole clusters",
        rows.len()
    ));
    let lines = rows.iter().zip(predicted).map(|(row, scores)| {
        let predicted: BTreeMap<&String, &f64> = impressions.iter().zip(scores).collect();
        serde_json::json!({"id": row.id, "predicted": predicted})
    });
    write_jsonl(&dir.join(PREDICTED), lines)?;
    write_json(&dir.join(CALIBRATION), &found.calibration)?;
    let learned = found.learned();
    found.add_to(measures);
    measures.numbers.insert("learned".into(), learned as f64);
    Ok(())
}

/// What is found of each impression.
#[derive(Default)]
struct Found {
    /// By measure, then by impression.
    numbers: BTreeMap<String, BTreeMap<String, f64>>,
    items: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
    calibration: BTreeMap<String, Calibration>,
}

impl Found {
    fn number(&mut self, what: &str, impression: &str, value: f64) {
        let of = self.numbers.entry(what.to_owned()).or_default();
        of.insert(impression.to_owned(), value);
    }

    fn estimate(&mut self, what: &str, impression: &str, estimate: Option<Estimate>) {
        let Some(Estimate { value, ci95 }) = estimate else {
            return;
        };
        self.number(what, impression, value);
        if let Some([low, high]) = ci95 {
            self.number(&format!("{what}_low"), impression, low);
            self.number(&format!("{what}_high"), impression, high);
        }
    }

    fn items(&mut self, what: &str, impression: &str, items: Option<Vec<f64>>) {
        if let Some(items) = items {
            let of = self.items.entry(what.to_owned()).or_default();
            of.insert(impression.to_owned(), items);
        }
    }

    /// How many impressions are predicted well enough to be relied on, and nearly as well as they can be.
    fn learned(&self) -> usize {
        let reaches = |what: &str, impression: &String, least: f64| {
            let found = self.numbers.get(what).and_then(|of| of.get(impression));
            found.is_some_and(|it| *it >= least)
        };
        let known = self
            .numbers
            .get("pearson")
            .into_iter()
            .flat_map(BTreeMap::keys);
        known
            .filter(|name| reaches("pearson", name, TRUSTED) && reaches("of_ceiling", name, NEAR))
            .count()
    }

    /// Adds every number by impression and the means over impressions.
    fn add_to(self, measures: &mut Measures) {
        for (what, of) in self.numbers {
            // The ends of intervals do not average to the ends of the average's.
            if !what.ends_with("_low") && !what.ends_with("_high") {
                let mean = of.values().sum::<f64>() / of.len() as f64;
                measures.numbers.insert(what.clone(), mean);
            }
            let numbers = of.into_iter();
            let numbers =
                numbers.map(|(impression, value)| (format!("{what}.{impression}"), value));
            measures.numbers.extend(numbers);
        }
        for (what, of) in self.items {
            let rows = of.values().next().map_or(0, Vec::len);
            let mean = |row: usize| of.values().map(|it| it[row]).sum::<f64>() / of.len() as f64;
            measures.mean_score(&what, (0..rows).map(mean).collect());
            for (impression, items) in of {
                measures.mean_score(&format!("{what}.{impression}"), items);
            }
        }
    }
}

#[cfg(test)]
mod tests;
