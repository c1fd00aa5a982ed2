//! What stages pass on: the files of their artifacts.

pub mod adapter;
pub mod card;
pub mod drawn;
pub mod examples;
pub mod folder;
pub mod generation;
pub mod gguf;
pub mod measures;
pub mod rated_set;
pub mod replied;
pub mod sampled;
pub mod scoring_format;
