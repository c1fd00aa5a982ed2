//! Rated dialogues in a form of the user's own: a table whose columns are named.
//!
//! A table is a file in any of the [formats](crate::formats), such as CSV. Objects
//! within an object are columns too, as `outer.inner`. A row holds a dialogue with the scores of one rater or, in
//! several columns, of several; rows of one dialogue are brought together.

mod form;
mod records;
mod roles;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::lines::stem;
use crate::rated::utterances::shown;
use crate::{Rated, Rating, Scale, Speaker, Turn};

pub use form::{Columns, ScoreColumns, Scores, TableForm};

use records::{Record, columns_of, gather, records};
use roles::{Roles, number};

/// What was read, and what was not.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub rows: Vec<Rated>,
    /// Dialogues that the files hold again, word for word, which are read once.
    pub repeated: usize,
    /// Turns without text, which are left out.
    pub empty_turns: usize,
    /// Turns of names that are ignored.
    pub ignored_turns: usize,
    /// Scores that were not given: empty cells and words such as "N/A".
    pub missing: usize,
    /// Which columns were taken for what.
    pub notes: Vec<String>,
}

impl Found {
    /// Takes another file's rows in; its notes where they are new.
    pub fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.repeated += other.repeated;
        self.empty_turns += other.empty_turns;
        self.ignored_turns += other.ignored_turns;
        self.missing += other.missing;
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }
}

/// Reads a table; rows of one dialogue, with the same turns, speaker and system, become one, with all their ratings.
///
/// # Errors
/// An unreadable file, or a column that is not there; or every bad row, by its line (or its number in a list), with the
/// column, what was expected and found, and the setting that mends it.
pub fn table(path: &Path, form: &TableForm) -> Result<Found> {
    let (records, mut bad) = records(path, form.columns.ratings.as_deref())?;
    let known = columns_of(&records);
    if records.is_empty() {
        bad.add(1, "expected rated dialogues, found none");
        return bad.or(Found::default());
    }
    let roles = match Roles::of(form, &known, &records) {
        Ok(roles) => roles,
        Err(message) => {
            bad.add(1, format!("{message}; the columns are {known:?}"));
            return bad.or(Found::default());
        }
    };
    let records = match &roles.role {
        Some(role) => gather(records, &roles.text, role, &roles.apart(), &mut bad),
        None => records,
    };
    let mut reading = Reading {
        form,
        roles: &roles,
        stem: stem(path),
        found: Found::default(),
        merged: HashMap::new(),
        dialogues: HashMap::new(),
    };
    for record in &records {
        if let Err(message) = reading.row(record) {
            bad.add(record.line, message);
        }
    }
    let mut found = reading.found;
    found.notes.push(roles.note());
    bad.or(found)
}

/// The columns of a file that may be a table.
///
/// # Errors
/// What is no table.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let (records, bad) = records(path, None)?;
    bad.or(columns_of(&records))
}

/// What tells rows apart.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    dialogue: String,
    turns: String,
    speaker: String,
    system: String,
}

struct Reading<'a> {
    form: &'a TableForm,
    roles: &'a Roles,
    stem: String,
    found: Found,
    merged: HashMap<Key, usize>,
    /// The dialogue of turns, where no column says.
    dialogues: HashMap<String, String>,
}

impl Reading<'_> {
    fn row(&mut self, record: &Record) -> Result<(), String> {
        let Self { form, roles, .. } = *self;
        let text = record
            .cells
            .get(&roles.text)
            .ok_or_else(|| format!("{}: expected a dialogue, found nothing", roles.text))?;
        let read = form.sides.turns(text);
        let read = read.map_err(|message| format!("{}: {message}", roles.text))?;
        if !read.turns.iter().any(|turn| turn.speaker == Speaker::Bot) {
            let remedy = "; where a row is a single turn, name who says it with columns.role";
            return Err(format!(
                "{}: expected a turn of the bot, found none in {} turns{}",
                roles.text,
                read.turns.len(),
                if form.settable { remedy } else { "" }
            ));
        }
        // Scores first: a row that is bad is not merged.
        let given = self.scores(record)?;
        let before = self.found.rows.len();
        let at = self.merge(record, read.turns)?;
        if self.found.rows.len() > before {
            self.found.empty_turns += read.empty;
            self.found.ignored_turns += read.ignored;
        }
        let rater = record.text(roles.rater.as_deref())?;
        let row = &mut self.found.rows[at];
        for scores in given.into_iter().filter(|it| !it.is_empty()) {
            let rater = match rater.is_empty() {
                true => format!("{}#{}", row.id, row.ratings.len() + 1),
                false => rater.clone(),
            };
            let before = row.ratings.iter_mut().find(|it| it.rater == rater);
            let Some(before) = before else {
                row.ratings.push(Rating { rater, scores });
                continue;
            };
            for (impression, score) in scores {
                if before.scores.insert(impression.clone(), score).is_some() {
                    return Err(format!(
                        "{rater:?} has scored {impression} of this dialogue already; name the column that tells \
                         dialogues apart with columns.dialogue, or that of the raters with columns.rater"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The place of the row that the record belongs to.
    fn merge(&mut self, record: &Record, turns: Vec<Turn>) -> Result<usize, String> {
        let roles = self.roles;
        let mut id = format!("{}:{}", self.stem, record.line);
        if record.part > 0 {
            id.push_str(&format!(":{}", record.part));
        }
        let content = serde_json::to_string(&turns).map_err(|error| error.to_string())?;
        let mut dialogue = record.text(roles.dialogue.as_deref())?;
        if dialogue.is_empty() {
            let known = self.dialogues.entry(content.clone());
            dialogue = known.or_insert_with(|| id.clone()).clone();
        }
        let key = Key {
            dialogue: dialogue.clone(),
            turns: content,
            speaker: record.text(roles.speaker.as_deref())?,
            system: record.text(roles.system.as_deref())?,
        };
        let rows = &mut self.found.rows;
        let (speaker, system) = (key.speaker.clone(), key.system.clone());
        Ok(*self.merged.entry(key).or_insert_with(|| {
            rows.push(Rated {
                id,
                dialogue,
                system,
                speaker,
                turns,
                ratings: Vec::new(),
                truth: None,
            });
            rows.len() - 1
        }))
    }

    /// The scores of each rater that the record holds.
    fn scores(&mut self, record: &Record) -> Result<Vec<BTreeMap<String, f64>>, String> {
        let mut given: Vec<BTreeMap<String, f64>> = Vec::new();
        if let Some([impression, score]) = &self.roles.single {
            let name = record.text(Some(impression))?;
            if name.is_empty() {
                return Err(format!(
                    "{impression}: expected an impression's name, found none"
                ));
            }
            given.push(BTreeMap::new());
            self.score(record, &name, score, &mut given[0])?;
        }
        for ScoreColumns {
            impression,
            columns,
        } in &self.roles.scores
        {
            given.resize(given.len().max(columns.len()), BTreeMap::new());
            for (column, scores) in columns.iter().zip(&mut given) {
                self.score(record, impression, column, scores)?;
            }
        }
        Ok(given)
    }

    fn score(
        &mut self,
        record: &Record,
        impression: &str,
        column: &str,
        scores: &mut BTreeMap<String, f64>,
    ) -> Result<(), String> {
        let Scale { low, high } = self.form.scale;
        let own = self.form.scales.get(impression);
        let own = own.copied().unwrap_or(self.form.scale);
        let cell = record.cells.get(column).unwrap_or(&Value::Null);
        let found = number(cell);
        if found == Ok(None) {
            self.found.missing += 1;
            return Ok(());
        }
        let score = found.ok().flatten();
        let score = score.filter(|score| (own.low..=own.high).contains(score));
        let Some(score) = score else {
            let remedy = format!(
                "; low and high give the scale of all scores, scales.{impression} that of this one, and scores the \
                 columns that hold any"
            );
            return Err(format!(
                "{column}: expected a number from {} to {} or an empty cell, found {}{}",
                own.low,
                own.high,
                shown(cell),
                if self.form.settable { &remedy } else { "" }
            ));
        };
        let share = (score - own.low) / (own.high - own.low);
        // Without a scale of its own a score is kept to the last bit.
        let score = if own == self.form.scale {
            score
        } else {
            low + share * (high - low)
        };
        scores.insert(impression.to_owned(), score);
        Ok(())
    }
}
