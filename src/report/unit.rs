//! What numbers count.

use serde::{Deserialize, Serialize};

/// What a number counts, hence how it prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A share of one, shown in percent (0.381 as 38.1); a difference is shown in points.
    Share,
    /// A whole number of things.
    Count,
    /// A duration in seconds.
    Seconds,
    /// Shown as it is.
    #[default]
    Plain,
}
