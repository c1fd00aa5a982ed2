//! STAR (Mosig et al., arXiv 2010.11853): service dialogues in which a human "wizard" answers mostly by
//! picking canned replies, each task having a flow graph of which reply comes after which.
//!
//! - [`records`]: a dialogue and its events as the files have them.
//! - [`graph`]: a task's graph, and what it allows next.
//! - [`guardrails`]: a graph in words.
//! - [`wording`]: reply templates: filled, matched, compared.
//! - [`dialogues`]: a dialogue followed through its graphs: the picks, each with its prompt.
//! - [`pairs`]: a pick against the options that the graph does not allow.
//! - [`adherence`]: a reply judged against the graph.

pub mod adherence;
pub mod dialogues;
pub mod graph;
mod guardrails;
pub mod pairs;
pub mod records;
pub mod wording;

use crate::archive::Form;

/// STAR as an archive or a folder.
pub const ARCHIVE: Form = Form {
    name: "STAR",
    folders: &["apis", "dialogues", "tasks"],
};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
