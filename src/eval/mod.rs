//! What is measured, and how sure one may be of it.
//!
//! Functions of plain numbers and strings: nothing here knows a model, a file or a recipe.

pub mod correlation;
pub mod dull;
pub mod game;
pub mod hacking;
pub mod length;
pub mod noise;
pub mod one_way;
pub mod ranking;
pub mod statistics;
pub mod text;
pub mod tournament;

pub use correlation::{Agreement, mae_items, pearson_items};
pub use dull::Genericness;
pub use game::{Game, longer_won};
pub use hacking::{Diagnostics, hacking};
pub use length::{LengthControlled, length_scale};
pub use noise::Noise;
pub use ranking::{By, Ranked, Rates, Scored, perplexity, rank};
pub use statistics::{
    Interval, mean, mean_interval, paired_difference, percentile, stddev, wilson,
};
pub use text::TextMeasures;
pub use text::chrf::chrf;
pub use tournament::{Standing, bradley_terry, standings};
