//! What a measuring stage leaves: named numbers, their values by item, and remarks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::stage::kind::{Context, Stage};
use crate::store::{read_json, write_json};

/// The content of `measures.json`, which any stage may leave in its artifact.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measures {
    /// Each number by name.
    #[serde(with = "crate::store::numbers")]
    pub numbers: BTreeMap<String, f64>,
    /// What the same computation may measure differently each time, such as memory.
    #[serde(default, with = "crate::store::numbers")]
    pub varying: BTreeMap<String, f64>,
    /// For numbers that are means over items: each item's value, in a fixed order, so that two models
    /// can be compared item by item.
    #[serde(with = "crate::store::numbers")]
    pub items: BTreeMap<String, Vec<f64>>,
    /// Those of `items` that are not shares of one, such as scores on a scale of their own.
    #[serde(default)]
    pub scores: BTreeSet<String>,
    /// Those of `numbers` without items that are shares of one all the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shares: BTreeSet<String>,
    /// Counts and remarks for the report, such as "12 identical pairs dropped".
    pub notes: Vec<String>,
    /// What limits of length cut off, which the notes tell too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<CutOff>,
}

/// What a limit of length cut off some examples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOff {
    /// Which examples, such as "train".
    pub what: String,
    /// What they were cut to, such as "max_length 512".
    pub limit: String,
    /// How many prompts and completions were cut, of how many examples.
    pub prompts: usize,
    pub completions: usize,
    pub examples: usize,
}

impl CutOff {
    /// Adds what was cut of further examples to the same limit.
    pub fn add(&mut self, other: &Self) {
        self.prompts += other.prompts;
        self.completions += other.completions;
        self.examples += other.examples;
    }
}

const FILE: &str = "measures.json";

/// A stage that leaves measures, and perhaps files, but no model.
pub trait Measure: Send + Sync {
    /// Does the measuring; files go into the context's folder.
    fn measure(&self, context: &Context) -> Result<Measures>;
}

impl<M: Measure> Stage for M {
    fn run(&self, context: &Context) -> Result<()> {
        self.measure(context)?.write(&context.dir)
    }
}

impl Measures {
    /// Adds a number that is the mean of `values`, each a share of one.
    pub fn mean(&mut self, name: &str, values: Vec<f64>) {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        self.numbers.insert(name.to_owned(), mean);
        self.items.insert(name.to_owned(), values);
    }

    /// Adds a number that is the mean of `values`, which are on a scale of their own.
    pub fn mean_score(&mut self, name: &str, values: Vec<f64>) {
        self.mean(name, values);
        self.scores.insert(name.to_owned());
    }

    /// Adds a share of one that is no mean over items.
    pub fn share(&mut self, name: &str, value: f64) {
        self.numbers.insert(name.to_owned(), value);
        self.shares.insert(name.to_owned());
    }

    /// Adds a remark.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Writes the file into an artifact's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE), self)
    }

    /// Reads an artifact's measures; empty where the stage left none.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        if path.exists() {
            read_json(&path)
        } else {
            Ok(Self::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_that_is_not_finite_is_read_back_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut measures = Measures::default();
        measures.numbers.insert("perplexity".into(), f64::INFINITY);
        measures.varying.insert("memory".into(), f64::NAN);
        measures.mean_score("logp", vec![-1.5, f64::NEG_INFINITY]);
        measures.write(dir.path()).unwrap();
        let read = Measures::read(dir.path()).unwrap();
        assert_eq!(read.numbers, measures.numbers);
        assert_eq!(read.items, measures.items);
        assert!(read.varying["memory"].is_nan());
    }
}
