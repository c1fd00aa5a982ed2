//! Verbs on a model folder.

pub mod export;
pub mod merge;
