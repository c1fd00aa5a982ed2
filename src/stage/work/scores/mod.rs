//! What a model with a scoring head says of texts, and how good that is.

pub mod held_out;
pub mod predicted;
pub mod reward;
pub mod score_file;
pub mod scored;
pub mod scorer;
pub mod worth;
