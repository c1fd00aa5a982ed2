//! Kinds that make preference pairs.

pub mod ai_feedback;
pub mod failures;
pub mod filter_pairs;
pub mod pseudo_preferences;
