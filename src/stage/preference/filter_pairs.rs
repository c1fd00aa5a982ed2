//! `filter-pairs`: of preference pairs those at one end of a criterion, or as many by chance.

mod criterion;

use std::cmp::Ordering;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::data::Example;
use crate::eval::{mean, percentile};
use crate::stage::artifact::drawn;
use crate::stage::artifact::examples::{
    RowsSettings, kwargs, read_examples, write_examples, write_kwargs, write_settings,
};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{Keys, LARGE, StageRef, Within};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::Split;
use crate::store::BadInput;
use criterion::Criterion;

pub const KIND: Kind = Kind {
    name: "filter-pairs",
    about: "those of preference pairs that a margin, a likeness, a classifier or chance keeps",
    produces: Produces::Pairs,
    version: 1,
    uses_backend: true,
    modules: modules::SCORING,
    read,
};

struct FilterPairs {
    data: StageRef,
    criterion: Criterion,
    end: End,
    amount: Amount,
}

/// Which end of a criterion is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Lowest,
    Highest,
}

enum Amount {
    Share(f64),
    /// Those of this value and beyond it, towards the end that is kept.
    Threshold(f64),
    /// As many as another stage's pairs.
    AsMany(StageRef),
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let data = keys
        .doc("the pairs; those for training are filtered, other splits pass whole")
        .stage("data", &[Produces::Pairs]);
    let (criterion, end, amount) = keys
        .doc(
            "margin: log-prob of chosen less rejected under a model; likeness: of rejected to chosen (chrF, 0 to 1); nli: \
             how a classifier finds the persona kept (-1 to 1); random: chance, a control",
        )
        .variant(
            "by",
            None::<&'static str>,
            &[
                ("margin", |keys| of_value(keys, Criterion::read_margin)),
                ("likeness", |keys| of_value(keys, |_| Criterion::Likeness)),
                ("nli", |keys| of_value(keys, Criterion::read_nli)),
                ("random", |keys| {
                    let amount = keys.variant_by_presence("as_many_as", as_many, share);
                    (Criterion::Random, End::Lowest, amount)
                }),
            ],
        );
    Box::new(FilterPairs {
        data,
        criterion,
        end,
        amount,
    })
}

/// Reads a criterion that has two ends, and which of the pairs are kept.
fn of_value(
    keys: &mut Keys<'_>,
    criterion: fn(&mut Keys<'_>) -> Criterion,
) -> (Criterion, End, Amount) {
    let criterion = criterion(keys);
    let ends = [("lowest", End::Lowest), ("highest", End::Highest)];
    let end = keys
        .doc("which end of the criterion is kept")
        .one_of("keep", "lowest", &ends);
    let amount = keys.variant_by_presence("threshold", threshold, share);
    (criterion, end, amount)
}

fn threshold(keys: &mut Keys<'_>) -> Amount {
    let range = -LARGE..=LARGE;
    let threshold = keys
        .doc("the last value that is kept, in place of a share")
        .float("threshold", None, range);
    Amount::Threshold(threshold)
}

fn as_many(keys: &mut Keys<'_>) -> Amount {
    let other = keys
        .doc("pairs of which as many are kept, in place of a share")
        .stage("as_many_as", &[Produces::Pairs]);
    Amount::AsMany(other)
}

fn share(keys: &mut Keys<'_>) -> Amount {
    let share = keys
        .doc("the share of the pairs that is kept; ties go to the first ones")
        .float("share", 0.5, Within::above(0.0, 1.0));
    Amount::Share(share)
}

/// What is told of a criterion's values.
const QUANTILES: [(&str, f64); 7] = [
    ("min", 0.0),
    ("p10", 0.1),
    ("p25", 0.25),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("max", 1.0),
];

impl Stage for FilterPairs {
    fn run(&self, context: &Context) -> Result<()> {
        let data = context.input(&self.data);
        let pairs: Vec<Example> = read_examples(data, Split::Train)?.collect::<Result<_>>()?;
        ensure!(!pairs.is_empty(), "@{} has no pairs", self.data.name);
        let mut measures = Measures::default();
        let values = self
            .criterion
            .values(context, data, &pairs, &mut measures)?;
        let kept = self.kept(context, &values)?;
        self.measure(&values, &kept, &mut measures);
        let left = pairs.into_iter().zip(&kept).filter(|(_, kept)| **kept);
        write_examples(&context.dir, Split::Train, left.map(|(pair, _)| Ok(pair)))?;
        hand_on(data, &context.dir)?;
        measures.write(&context.dir)
    }
}

/// Copies what is not filtered, and what says how pairs are read.
fn hand_on(data: &Path, dir: &Path) -> Result<()> {
    for split in Split::ALL {
        let name = format!("{}.jsonl", split.name());
        if split != Split::Train && data.join(&name).try_exists()? {
            std::fs::copy(data.join(&name), dir.join(&name))?;
        }
    }
    drawn::hand_on(data, dir)?;
    write_kwargs(dir, &kwargs(data)?)?;
    write_settings(dir, RowsSettings::read(data)?)
}

impl FilterPairs {
    /// The order in which values are kept, the first ones first.
    fn order(&self, a: f64, b: f64) -> Ordering {
        match self.end {
            End::Lowest => a.total_cmp(&b),
            End::Highest => b.total_cmp(&a),
        }
    }

    /// Which pairs are kept.
    ///
    /// # Errors
    /// [`BadInput`] where that is none, or more than there are.
    fn kept(&self, context: &Context, values: &[f64]) -> Result<Vec<bool>> {
        let all = values.len();
        let bad = |message: String| -> Result<Vec<bool>> { Err(BadInput(message).into()) };
        let count = match &self.amount {
            Amount::Threshold(threshold) => {
                let within = |value: &f64| self.order(*value, *threshold).is_le();
                let kept: Vec<bool> = values.iter().map(within).collect();
                if !kept.contains(&true) {
                    let values = values.iter().copied();
                    let nearest = values.min_by(|a, b| self.order(*a, *b)).unwrap_or(0.0);
                    return bad(format!(
                        "threshold: none of the {all} pairs of @{} has a {} of {threshold:?} or {}; the nearest has \
                         {nearest:.4}",
                        self.data.name,
                        self.criterion.name(),
                        match self.end {
                            End::Lowest => "less",
                            End::Highest => "more",
                        },
                    ));
                }
                return Ok(kept);
            }
            Amount::Share(share) => (share * all as f64).round() as usize,
            Amount::AsMany(other) => {
                let mut count = 0;
                for pair in read_examples(context.input(other), Split::Train)? {
                    pair?;
                    count += 1;
                }
                if count > all {
                    return bad(format!(
                        "as_many_as: @{} has {count} pairs, but @{} only {all}",
                        other.name, self.data.name
                    ));
                }
                count
            }
        };
        if count == 0 {
            return bad(match &self.amount {
                Amount::AsMany(other) => format!("as_many_as: @{} has no pairs", other.name),
                _ => format!(
                    "share: of the {all} pairs of @{} it keeps none; raise it",
                    self.data.name
                ),
            });
        }
        let mut places: Vec<usize> = (0..all).collect();
        places.sort_by(|&a, &b| self.order(values[a], values[b]));
        let mut kept = vec![false; all];
        places[..count].iter().for_each(|&place| kept[place] = true);
        Ok(kept)
    }

    /// Counts, and how the criterion's values are spread over all pairs and come out on both sides.
    fn measure(&self, values: &[f64], kept: &[bool], measures: &mut Measures) {
        let side = |wanted: bool| -> Vec<f64> {
            let both = values.iter().zip(kept);
            both.filter(|(_, kept)| **kept == wanted)
                .map(|(value, _)| *value)
                .collect()
        };
        let (inside, outside) = (side(true), side(false));
        let mut note = format!("train: {} of {} pairs kept", inside.len(), values.len());
        for (name, count) in [
            ("train_pairs", inside.len()),
            ("train_dropped", outside.len()),
        ] {
            measures.numbers.insert(name.into(), count as f64);
        }
        if let Criterion::Random = self.criterion {
            note.push_str(", drawn by chance");
        } else {
            let name = self.criterion.name();
            let mut sorted = values.to_vec();
            sorted.sort_by(f64::total_cmp);
            note.push_str(&format!(", by {name}, which over all is"));
            for (at, share) in QUANTILES {
                let value = percentile(&sorted, share);
                note.push_str(&format!(" {at} {value:.3},"));
                measures.numbers.insert(format!("{name}.{at}"), value);
            }
            note.push_str(&format!(
                " and in the mean of those kept {:.3}",
                mean(&inside)
            ));
            measures
                .numbers
                .insert(format!("{name}.kept"), mean(&inside));
            if !outside.is_empty() {
                note.push_str(&format!(", of those dropped {:.3}", mean(&outside)));
                measures
                    .numbers
                    .insert(format!("{name}.dropped"), mean(&outside));
            }
        }
        measures.note(note);
    }
}

#[cfg(test)]
mod tests;
