//! What several kinds do.

pub mod fluency;
pub mod judge;
pub mod kl;
pub mod merging;
pub mod samples;
pub mod sampling;
pub mod scores;
pub mod streams;
pub mod tokens;
pub mod training;
