//! What finished stages left, as far as it can be read.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::stage::artifact::measures::Measures;

/// Each stage's measures, seed by seed.
pub type ByStage = BTreeMap<String, Vec<Measures>>;

/// What a report lacks, in notes.
#[derive(Default)]
pub struct Lost(pub Vec<String>);

impl Lost {
    /// The value, or none of it and a note why.
    pub fn or_default<T: Default>(&mut self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.0.push(format!("{error:#}"));
            T::default()
        })
    }
}
