//! What is measured, and how sure one may be of it.
//!
//! Functions of plain numbers and strings: nothing here knows a model, a file or a recipe.

pub mod agreement;
pub mod correlation;
pub mod ranking;
pub mod statistics;
pub mod text;
pub mod tournament;

pub use correlation::Agreement;
pub use ranking::{By, Ranked, Rates, Scored, perplexity, rank};
pub use statistics::{Interval, mean, mean_interval, paired_difference, stddev, wilson};
pub use text::TextMeasures;
pub use tournament::{Game, Standing, bradley_terry, standings};
