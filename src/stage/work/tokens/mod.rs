//! From examples to the tokens that a model reads, and what of them is cut.

pub mod cuts;
pub mod dataset;
pub mod lengths;
pub mod limits;
