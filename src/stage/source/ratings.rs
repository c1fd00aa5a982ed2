//! `ratings`: dialogues that people have rated, in a form that the user brings.

mod centre;
mod form;
mod reliability;
mod split;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::rated_table::Found;
use crate::data::star::pairs::uniform;
use crate::data::template::prompt;
use crate::data::{Completion, Example, Rated, Role, Speaker, Turn};
use crate::stage::artifact::examples::{RowsSettings, write_examples, write_settings};
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::rated_set;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{BATCH, Keys, SEED};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::{Group, Split};
use crate::store::{BadInput, OrBadInput};
use form::Form;
use split::{Draw, Parts, Unit};

pub const KIND: Kind = Kind {
    name: "ratings",
    about: "dialogues that people have rated, split, centred by rater if wished, and what the ratings can bear",
    produces: Produces::Rated,
    version: 1,
    uses_backend: false,
    modules: modules::READING,
    read,
};

/// In the order of [`Parts::rows`].
const SPLITS: [Split; 3] = [Split::Train, Split::Valid, Split::Test];

struct Ratings {
    path: PathBuf,
    form: Form,
    splits: By,
    centre: bool,
    impressions: Vec<String>,
    replies: usize,
    seed: u64,
    by_dialogue: bool,
}

/// How rows come into splits.
enum By {
    Draw(Draw),
    /// `path` is for training.
    Files {
        valid: Option<PathBuf>,
        test: Option<PathBuf>,
    },
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let path = keys
        .doc("the ratings; with split_by = \"files\" those for training")
        .path("path");
    let form = Form::read(keys);
    let seed = keys.doc("of the split").usize("seed", 1, SEED) as u64;
    let unit = keys
        .doc("what splits may not share beside dialogues, or files: each has one of its own")
        .one_of(
            "split_by",
            "dialogue",
            &[
                ("dialogue", Some(Unit::Dialogue)),
                ("speaker", Some(Unit::Speaker)),
                ("system", Some(Unit::System)),
                ("files", None),
            ],
        );
    let splits = match unit {
        Some(unit) => {
            let valid = keys
                .doc(
                    "share of the dialogues, speakers or systems; with split_by = \"files\" a path",
                )
                .float("valid", 0.1, 0.0..=0.9);
            let test = keys.float("test", 0.1, 0.0..=0.9);
            By::Draw(Draw {
                unit,
                valid,
                test,
                seed,
            })
        }
        None => {
            if !form.has_files() {
                keys.problem(
                    "split_by",
                    "only rapport's own form and tables have a file for each split",
                );
            }
            By::Files {
                valid: keys.optional_path("valid"),
                test: keys.optional_path("test"),
            }
        }
    };
    let centre = keys
        .doc("rater: takes each rater's mean out of the scores")
        .one_of("centre", "none", &[("none", false), ("rater", true)]);
    Box::new(Ratings {
        path,
        form,
        splits,
        centre,
        impressions: keys
            .doc("which impressions are read; default: all")
            .strings("impressions", Some(&[])),
        replies: keys
            .doc("replies of a dialogue that become rows to imitate, drawn; 0: all")
            .usize("replies", 0, 0..=BATCH),
        seed,
        by_dialogue: Group::read(keys, "none") == Group::Dialogue,
    })
}

impl Stage for Ratings {
    fn run(&self, context: &Context) -> Result<()> {
        let mut measures = Measures::default();
        let mut parts = self.parts(&mut measures)?;
        let unrated = |rows: &Vec<Rated>| rows.iter().filter(|row| row.ratings.is_empty()).count();
        let before: usize = parts.rows.iter().map(unrated).sum();
        note_count(
            &mut measures,
            "unrated",
            before,
            "rows without a rating, read for their turns alone",
        );
        if self.centre {
            let lost = centre::centre(&mut parts.rows);
            note_count(
                &mut measures,
                "uncentred_scores",
                lost,
                &format!(
                    "scores dropped, whose raters have scored fewer than {} other dialogues",
                    centre::LEAST
                ),
            );
            let all: Vec<Rated> = parts.rows.iter().flatten().cloned().collect();
            reliability::measure(&all, "centred_", &mut measures);
        }
        if parts.rows[0].iter().all(|row| row.ratings.is_empty()) {
            let message = format!(
                "{}: no ratings are left for training{}",
                self.path.display(),
                if self.centre {
                    "; centre needs raters with several dialogues: name their column, or set centre = \"none\""
                } else {
                    ""
                }
            );
            return Err(BadInput(message).into());
        }
        counts(&parts, &mut measures);
        for (split, rows) in SPLITS.into_iter().zip(&parts.rows) {
            let examples = rows.iter().flat_map(|row| self.examples(row));
            write_examples(&context.dir, split, examples.map(Ok))?;
        }
        let prompts = parts.rows[2].iter().filter_map(|row| self.prompt(row));
        let prompts: Vec<Example> = prompts.collect();
        measures
            .numbers
            .insert("prompts".into(), prompts.len() as f64);
        write_examples(&context.dir, Split::Prompts, prompts.into_iter().map(Ok))?;
        write_settings(
            &context.dir,
            RowsSettings {
                shuffle: true,
                by_dialogue: self.by_dialogue,
                by_row: false,
            },
        )?;
        for (split, rows) in SPLITS.into_iter().zip(parts.rows) {
            let rated: Vec<Rated> = rows
                .into_iter()
                .filter(|row| !row.ratings.is_empty())
                .collect();
            // An empty file is no split.
            if !rated.is_empty() {
                rated_set::write(&context.dir, split, rated)?;
            }
        }
        rated_set::write_scale(&context.dir, self.form.scale(), self.centre)?;
        measures.write(&context.dir)
    }
}

impl Ratings {
    /// Reads and splits, measuring the scores as they were given.
    fn parts(&self, measures: &mut Measures) -> Result<Parts> {
        match &self.splits {
            By::Draw(draw) => {
                let rows = self.open(&self.path, measures)?;
                reliability::measure(&rows, "", measures);
                draw.split(rows).or_bad_input()
            }
            By::Files { valid, test } => {
                let mut parts = Parts::default();
                for (at, path) in [Some(&self.path), valid.as_ref(), test.as_ref()]
                    .into_iter()
                    .enumerate()
                {
                    if let Some(path) = path {
                        parts.rows[at] = self.open(path, measures)?;
                        let dialogues: HashSet<&str> =
                            parts.rows[at].iter().map(Rated::dialogue).collect();
                        parts.units[at] = dialogues.len();
                    }
                }
                let all: Vec<Rated> = parts.rows.iter().flatten().cloned().collect();
                reliability::measure(&all, "", measures);
                Ok(parts)
            }
        }
    }

    /// Reads a file, and keeps the impressions that are asked for.
    fn open(&self, path: &Path, measures: &mut Measures) -> Result<Vec<Rated>> {
        let Found {
            mut rows,
            repeated,
            empty_turns,
            ignored_turns,
            missing,
            notes,
        } = self.form.open(path)?;
        let found = reliability::impressions(&rows);
        if !self.impressions.is_empty() {
            let wanted: BTreeSet<&String> = self.impressions.iter().collect();
            if let Some(unknown) = wanted.iter().find(|name| !found.contains(**name)) {
                let message = format!(
                    "impressions: {} has none named {unknown:?}, only {found:?}",
                    path.display()
                );
                return Err(BadInput(message).into());
            }
            for row in &mut rows {
                for rating in &mut row.ratings {
                    rating.scores.retain(|name, _| wanted.contains(name));
                }
                row.ratings.retain(|rating| !rating.scores.is_empty());
            }
        }
        let ratings: usize = rows.iter().map(|row| row.ratings.len()).sum();
        measures.note(format!(
            "{}: {} rows, {ratings} ratings",
            path.display(),
            rows.len()
        ));
        notes.into_iter().for_each(|note| measures.note(note));
        for (name, count, what) in [
            (
                "repeated_dialogues",
                repeated,
                "dialogues that are there again left out",
            ),
            ("empty_turns", empty_turns, "turns without text left out"),
            (
                "ignored_turns",
                ignored_turns,
                "turns of ignored names left out",
            ),
            ("missing_scores", missing, "scores not given"),
        ] {
            note_count(measures, name, count, what);
        }
        Ok(rows)
    }

    /// One example for each of the bot's turns, or for those of them that are drawn.
    fn examples(&self, row: &Rated) -> Vec<Example> {
        let mut turns: Vec<usize> = bot_turns(row).collect();
        if self.replies > 0 && turns.len() > self.replies {
            let draw = |at: &usize| uniform(&format!("reply {} {}:{at}", self.seed, row.id));
            turns.sort_by(|a, b| draw(a).total_cmp(&draw(b)));
            turns.truncate(self.replies);
            turns.sort_unstable();
        }
        turns.into_iter().map(|at| example(row, at)).collect()
    }

    /// The dialogue up to some turn of the user after the first, with the bot's own reply.
    fn prompt(&self, row: &Rated) -> Option<Example> {
        let after_user = |at: &usize| *at > 1 && row.turns[at - 1].speaker == Speaker::User;
        let turns: Vec<usize> = bot_turns(row).filter(after_user).collect();
        let drawn = uniform(&format!("prompt {} {}", self.seed, row.id));
        let at = turns.get((drawn * turns.len() as f64) as usize)?;
        Some(example(row, *at))
    }
}

fn bot_turns(row: &Rated) -> impl Iterator<Item = usize> {
    let is_bot = |(_, turn): &(usize, &Turn)| turn.speaker == Speaker::Bot;
    row.turns
        .iter()
        .enumerate()
        .filter(is_bot)
        .map(|(at, _)| at)
}

/// The bot's turn as a reply to those before it.
fn example(row: &Rated, at: usize) -> Example {
    Example {
        id: format!("{}:{at}", row.id),
        group: row.id.clone(),
        prompt: prompt(String::new(), &row.turns[..at]),
        completions: vec![Completion::new(
            format!(" {}", row.turns[at].text),
            Role::Reply,
        )],
        meta: Default::default(),
    }
}

/// Adds a count, and a note where it is not 0; counts of several files add up.
fn note_count(measures: &mut Measures, name: &str, count: usize, what: &str) {
    *measures.numbers.entry(name.to_owned()).or_default() += count as f64;
    if count > 0 {
        measures.note(format!("{count} {what}"));
    }
}

/// What each split holds.
fn counts(parts: &Parts, measures: &mut Measures) {
    let total: usize = parts.rows.iter().map(Vec::len).sum();
    let train: HashSet<String> = parts.rows[0].iter().map(text).collect();
    for (at, (split, rows)) in SPLITS.into_iter().zip(&parts.rows).enumerate() {
        let name = split.name();
        let dialogues: HashSet<&str> = rows.iter().map(Rated::dialogue).collect();
        let rated = rows.iter().filter(|row| !row.ratings.is_empty()).count();
        let ratings: usize = rows.iter().map(|row| row.ratings.len()).sum();
        let share = rows.len() as f64 / total.max(1) as f64;
        for (what, value) in [
            ("", rated as f64),
            ("_dialogues", dialogues.len() as f64),
            ("_ratings", ratings as f64),
            ("_units", parts.units[at] as f64),
            ("_share", share),
        ] {
            measures.numbers.insert(format!("{name}{what}"), value);
        }
        measures.note(format!(
            "{name}: {} rows of {} dialogues ({:.1}% of the rows kept), {ratings} ratings",
            rows.len(),
            dialogues.len(),
            100.0 * share
        ));
        let same = rows
            .iter()
            .filter(|row| at > 0 && train.contains(&text(row)))
            .count();
        note_count(
            measures,
            "shared_with_train",
            same,
            &format!("rows of {name} have the very turns of a row for training"),
        );
    }
    measures
        .numbers
        .insert("dropped_rows".into(), parts.dropped as f64);
    note_count(
        measures,
        "dropped_dialogues",
        parts.dropped_dialogues,
        &format!(
            "dialogues ({} rows) dropped, whose speakers or systems are in different splits",
            parts.dropped
        ),
    );
}

fn text(row: &Rated) -> String {
    prompt(String::new(), &row.turns).text()
}
