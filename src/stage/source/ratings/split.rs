//! Which rows are for training, validation and test.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::data::Rated;

/// What splits may not share beside dialogues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Dialogue,
    /// The people who speak with the bot. Where a dialogue has views from several sides, all their speakers.
    Speaker,
    System,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Dialogue => "dialogue",
            Unit::Speaker => "speaker",
            Unit::System => "system",
        }
    }

    fn of(self, row: &Rated) -> &str {
        match self {
            Unit::Dialogue => row.dialogue(),
            Unit::Speaker => &row.speaker,
            Unit::System => &row.system,
        }
    }
}

/// How units are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    pub unit: Unit,
    /// Shares of the units; at least one where a share is above 0.
    pub valid: f64,
    pub test: f64,
    pub seed: u64,
}

/// Rows for training, validation and test.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub rows: [Vec<Rated>; 3],
    /// How many units each has.
    pub units: [usize; 3],
    /// Dialogues whose units are in different splits, which are in none, ...
    pub dropped_dialogues: usize,
    /// ... and their rows.
    pub dropped: usize,
}

impl Draw {
    /// Splits rows, each split keeping their order.
    ///
    /// # Errors
    /// A row that does not say its unit; too few units to leave one for training.
    pub fn split(&self, rows: Vec<Rated>) -> Result<Parts> {
        let unit = self.unit;
        if let Some(row) = rows.iter().find(|row| unit.of(row).is_empty()) {
            let name = unit.name();
            anyhow::bail!(
                "split_by: {} does not say its {name}; name the column with columns.{name} where the format is table, \
                 or split by dialogue",
                row.id
            );
        }
        let names: BTreeSet<&str> = rows.iter().map(|row| unit.of(row)).collect();
        let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        names.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        let count = |share: f64| {
            let least = usize::from(share > 0.0);
            ((share * names.len() as f64).round() as usize).max(least)
        };
        let (valid, test) = (count(self.valid), count(self.test));
        ensure!(
            valid + test < names.len(),
            "split_by: {} {}s cannot be split into {valid} for validation, {test} for test and some for training; lower \
             valid and test",
            names.len(),
            unit.name()
        );
        let place = |index: usize| match index {
            index if index < test => 2,
            index if index < test + valid => 1,
            _ => 0,
        };
        let places: BTreeMap<&str, usize> = names
            .iter()
            .enumerate()
            .map(|(index, name)| (name.as_str(), place(index)))
            .collect();
        let mut of_dialogue: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for row in &rows {
            let found = of_dialogue.entry(row.dialogue().to_owned()).or_default();
            found.insert(places[unit.of(row)]);
        }
        let mut parts = Parts {
            units: [names.len() - valid - test, valid, test],
            dropped_dialogues: of_dialogue.values().filter(|it| it.len() > 1).count(),
            ..Default::default()
        };
        for row in rows {
            if of_dialogue[row.dialogue()].len() > 1 {
                parts.dropped += 1;
            } else {
                parts.rows[places[unit.of(&row)]].push(row);
            }
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two views of each of 60 dialogues among 12 people.
    fn views() -> Vec<Rated> {
        let view = |dialogue: usize, speaker: usize, system: usize| Rated {
            id: format!("{dialogue}:{speaker}"),
            dialogue: dialogue.to_string(),
            system: system.to_string(),
            speaker: speaker.to_string(),
            turns: Vec::new(),
            ratings: Vec::new(),
            truth: None,
        };
        let people = |dialogue: usize| (dialogue % 12, (dialogue + 1 + dialogue / 12) % 12);
        (0..60)
            .flat_map(|dialogue| {
                let (one, other) = people(dialogue);
                [view(dialogue, one, other), view(dialogue, other, one)]
            })
            .collect()
    }

    fn draw(unit: Unit) -> Draw {
        Draw {
            unit,
            valid: 0.25,
            test: 0.25,
            seed: 1,
        }
    }

    #[test]
    fn splits_share_neither_unit_nor_dialogue_and_nothing_is_lost() {
        for unit in [Unit::Dialogue, Unit::Speaker, Unit::System] {
            let parts = draw(unit).split(views()).unwrap();
            let of = |name: fn(&Rated) -> &str| {
                parts.rows.each_ref().map(|rows| {
                    let names = rows.iter().map(|row| name(row).to_owned());
                    names.collect::<BTreeSet<String>>()
                })
            };
            let own: [BTreeSet<String>; 3] = parts
                .rows
                .each_ref()
                .map(|rows| rows.iter().map(|row| unit.of(row).to_owned()).collect());
            for names in [own, of(Rated::dialogue)] {
                assert!(names.iter().all(|it| !it.is_empty()), "{unit:?}");
                for (one, other) in [(0, 1), (0, 2), (1, 2)] {
                    assert!(names[one].is_disjoint(&names[other]), "{unit:?}");
                }
            }
            let kept: usize = parts.rows.iter().map(Vec::len).sum();
            assert_eq!(kept + parts.dropped, 120);
            assert_eq!(parts.dropped, 2 * parts.dropped_dialogues);
            assert_eq!(parts.dropped == 0, unit == Unit::Dialogue);
            let quarter = if unit == Unit::Dialogue { 15 } else { 3 };
            assert_eq!(parts.units[1..], [quarter, quarter]);
        }
    }

    #[test]
    fn the_seed_draws_and_what_cannot_be_split_is_refused() {
        let ids = |seed| {
            let draw = Draw {
                seed,
                ..draw(Unit::Dialogue)
            };
            let rows = draw.split(views()).unwrap().rows;
            rows[2].iter().map(|row| row.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        let mut rows = views();
        let error = draw(Unit::Speaker)
            .split(rows.drain(..2).collect())
            .unwrap_err();
        assert!(
            error.to_string().contains("2 speakers cannot be split"),
            "{error}"
        );
        rows[3].speaker.clear();
        let error = draw(Unit::Speaker).split(rows).unwrap_err().to_string();
        assert!(
            error.contains("does not say its speaker; name the column"),
            "{error}"
        );
    }
}
