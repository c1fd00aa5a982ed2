//! How a table of rated dialogues is read.

use std::collections::BTreeMap;

use crate::Scale;
use crate::rated::utterances::Sides;

/// Which columns hold what; one that is not named is looked for by the names that it commonly has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// The dialogue: see [`Sides::turns`] for the forms.
    pub text: Option<String>,
    /// What a row may not be split from. Without it, rows of the same turns are of one dialogue.
    pub dialogue: Option<String>,
    /// Where a row is a single turn: who says its text. Rows of one dialogue (and rater, speaker and system) are then
    /// its turns in the file's order, and a column's last value counts.
    pub role: Option<String>,
    /// Without it, every row is of a rater of its own.
    pub rater: Option<String>,
    pub speaker: Option<String>,
    pub system: Option<String>,
    /// A list of objects, each of one rater, whose keys are columns as `ratings.key`.
    pub ratings: Option<String>,
    /// Where a row holds a single score: the column that names its impression, ...
    pub impression: Option<String>,
    /// ... and the one with the score.
    pub score: Option<String>,
}

/// An impression and its columns, one for each of the raters that a row holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreColumns {
    pub impression: String,
    pub columns: Vec<String>,
}

/// Which columns hold scores.
#[derive(Clone, Debug, PartialEq)]
pub enum Scores {
    /// Every column that is nothing else and holds numbers alone, by the last part of its name.
    Found,
    Named(Vec<ScoreColumns>),
}

/// How a table is read.
#[derive(Clone, Debug, PartialEq)]
pub struct TableForm {
    pub columns: Columns,
    pub scores: Scores,
    pub sides: Sides,
    /// The scale of the scores.
    pub scale: Scale,
    /// The scales of impressions that have another in the file; their scores are stretched onto `scale`.
    pub scales: BTreeMap<String, Scale>,
    /// Whether columns and scales are settings of the user's, which messages then name.
    pub settable: bool,
}
