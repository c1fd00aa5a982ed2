//! What ratings can bear: how much of them is the rater, how far raters agree, and what a model can reach.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::Rated;
use crate::eval::Noise;
use crate::eval::one_way::OneWay;
use crate::eval::{mean, stddev};
use crate::stage::artifact::measures::Measures;

/// The impressions that any row is rated for.
pub fn impressions(rows: &[Rated]) -> BTreeSet<String> {
    let ratings = rows.iter().flat_map(|row| &row.ratings);
    ratings
        .flat_map(|rating| rating.scores.keys().cloned())
        .collect()
}

/// Scores in groups by name.
type Groups<'a> = BTreeMap<&'a str, Vec<f64>>;

/// The scores of one impression, grouped by what may explain them.
#[derive(Default)]
struct Scores<'a> {
    all: Vec<f64>,
    of_row: Groups<'a>,
    of_dialogue: Groups<'a>,
    of_rater: Groups<'a>,
    /// By rater and system, beside each other.
    of_both: BTreeMap<[&'a str; 2], Vec<f64>>,
    /// Means of the system's rows.
    of_system: Groups<'a>,
}

impl<'a> Scores<'a> {
    fn of(rows: &'a [Rated], impression: &str) -> Self {
        let mut scores = Self::default();
        for row in rows {
            for rating in &row.ratings {
                let Some(&score) = rating.scores.get(impression) else {
                    continue;
                };
                scores.all.push(score);
                scores.of_row.entry(&row.id).or_default().push(score);
                scores
                    .of_dialogue
                    .entry(row.dialogue())
                    .or_default()
                    .push(score);
                scores
                    .of_rater
                    .entry(&rating.rater)
                    .or_default()
                    .push(score);
                if !row.system.is_empty() {
                    let both = [rating.rater.as_str(), row.system.as_str()];
                    scores.of_both.entry(both).or_default().push(score);
                }
            }
            if let (false, Some(mean)) = (row.system.is_empty(), row.mean(impression)) {
                scores.of_system.entry(&row.system).or_default().push(mean);
            }
        }
        scores
    }

    /// The groups within which raters can be compared: rows, or dialogues where more of these have several raters.
    fn targets(&self) -> (Vec<Vec<f64>>, bool) {
        let repeated = |groups: &Groups<'_>| groups.values().filter(|it| it.len() > 1).count();
        let by_row = repeated(&self.of_row) >= repeated(&self.of_dialogue);
        let groups = if by_row {
            &self.of_row
        } else {
            &self.of_dialogue
        };
        (groups.values().cloned().collect(), by_row)
    }
}

/// Measures every impression of rows; `prefix` begins the names.
///
/// For each impression `mean`, `sd` and, where the data show them: `rater_share` (of a score's variance, explained by
/// who rates), `rater_system_share` (by who rates whom), `reliability` (Pearson's correlation of two raters of a
/// dialogue, over all ordered pairs), `icc` (the same as a share of variance, ICC(1)), `ceiling` (the correlation
/// with a row's mean rating that no model can be expected to pass), `system_reliability` (of the systems' means) and
/// its root `system_ceiling`. A share is under 0 where groups differ less than by chance.
pub fn measure(rows: &[Rated], prefix: &str, measures: &mut Measures) {
    let (mut apart, mut silent) = (false, Vec::new());
    for impression in impressions(rows) {
        let scores = Scores::of(rows, &impression);
        let (targets, by_row) = scores.targets();
        apart |= !by_row;
        let noise = Noise::of(&targets);
        let systems = OneWay::of(scores.of_system.values());
        // A row of one rating, where raters see a dialogue from sides of their own.
        let ceiling = noise.map(|it| {
            if by_row {
                it.ceiling
            } else {
                it.reliability.sqrt()
            }
        });
        if noise.is_none() {
            silent.push(impression.clone());
        }
        for (what, value) in [
            ("mean", Some(mean(&scores.all))),
            ("sd", Some(stddev(&scores.all)).filter(|it| it.is_finite())),
            (
                "rater_share",
                OneWay::of(scores.of_rater.values()).map(|it| it.icc()),
            ),
            (
                "rater_system_share",
                OneWay::of(scores.of_both.values()).map(|it| it.icc()),
            ),
            ("reliability", noise.map(|it| it.reliability)),
            ("icc", OneWay::of(&targets).map(|it| it.icc())),
            ("ceiling", ceiling),
            ("system_reliability", systems.map(|it| it.reliability())),
            ("system_ceiling", systems.map(|it| it.reliability().sqrt())),
        ] {
            if let Some(value) = value {
                let name = format!("{prefix}{what}.{impression}");
                measures.numbers.insert(name, value);
            }
        }
    }
    if apart {
        measures.note(format!(
            "{prefix}reliability and icc compare the raters of a dialogue who see it from different sides; ceiling holds for \
             what both see"
        ));
    }
    if !silent.is_empty() {
        measures.note(format!(
            "no {prefix}ceiling, for want of dialogues with two ratings that agree more than by chance: {}",
            silent.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Rating;

    fn row(id: &str, dialogue: &str, system: &str, scores: &[(&str, f64)]) -> Rated {
        let rating = |(rater, score): &(&str, f64)| Rating {
            rater: (*rater).to_owned(),
            scores: [("ease".to_owned(), *score)].into(),
        };
        Rated {
            id: id.to_owned(),
            dialogue: dialogue.to_owned(),
            system: system.to_owned(),
            speaker: String::new(),
            turns: Vec::new(),
            ratings: scores.iter().map(rating).collect(),
            truth: None,
        }
    }

    fn measured(rows: &[Rated]) -> Measures {
        let mut measures = Measures::default();
        measure(rows, "", &mut measures);
        measures
    }

    #[test]
    fn raters_of_a_row_are_compared_with_each_other() {
        let rows = [
            row("1", "", "s", &[("a", 1.0), ("b", 2.0)]),
            row("2", "", "s", &[("a", 4.0), ("b", 3.0)]),
            row("3", "", "t", &[("a", 5.0), ("b", 5.0)]),
            row("4", "", "t", &[("a", 4.0), ("b", 4.0)]),
        ];
        let found = measured(&rows);
        let number = |name: &str| found.numbers[&format!("{name}.ease")];
        assert_eq!(number("mean"), 3.5);
        // scipy.stats.pearsonr (1.17) of both orders.
        let r = 0.8571428571428571;
        assert!((number("reliability") - r).abs() < 1e-12, "{found:?}");
        assert!((number("ceiling") - (2.0 * r / (1.0 + r)).sqrt()).abs() < 1e-12);
        // MSB = 13 / 3, MSW = 1 / 4.
        let (between, within): (f64, f64) = (13.0 / 3.0, 0.25);
        assert!((number("icc") - (between - within) / (between + within)).abs() < 1e-12);
        // The raters' means are the same.
        assert!(number("rater_share") < 0.0);
        // Means of rows: 1.5 and 3.5 of s, 5 and 4 of t: MSB = 4, MSW = 1.25.
        assert!((number("system_reliability") - (1.0 - 1.25 / 4.0)).abs() < 1e-12);
        assert!(found.notes.is_empty());
    }

    #[test]
    fn two_sides_of_a_dialogue_are_compared_where_a_row_has_one_rater() {
        let rows: Vec<Rated> = [(1.0, 2.0), (4.0, 3.0), (5.0, 5.0), (4.0, 4.0)]
            .iter()
            .enumerate()
            .flat_map(|(at, (one, other))| {
                let dialogue = at.to_string();
                [
                    row(&format!("{at}a"), &dialogue, "b", &[("a", *one)]),
                    row(&format!("{at}b"), &dialogue, "a", &[("b", *other)]),
                ]
            })
            .collect();
        let found = measured(&rows);
        let reliability = found.numbers["reliability.ease"];
        assert!((reliability - 0.8571428571428571).abs() < 1e-12);
        assert_eq!(found.numbers["ceiling.ease"], reliability.sqrt());
        assert!(
            found.notes[0].contains("different sides"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn single_ratings_show_no_ceiling() {
        let rows = [
            row("1", "", "", &[("a", 1.0)]),
            row("2", "", "", &[("b", 2.0)]),
        ];
        let found = measured(&rows);
        let names: Vec<_> = found.numbers.keys().map(String::as_str).collect();
        assert_eq!(names, ["mean.ease", "sd.ease"]);
        assert!(
            found.notes[0].starts_with("no ceiling"),
            "{:?}",
            found.notes
        );
    }
}
