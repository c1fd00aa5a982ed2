//! Numbers and ranges: checked, and put into words.

use std::fmt::Debug;
use std::ops::{Range, RangeInclusive};

use serde_json::Value as Json;

use super::{Node, Value};

/// A number, in words.
pub(super) const NUMBER: &str = "a number";

/// A whole number, in words.
pub(super) const WHOLE: &str = "a whole number";

/// What may be counted: examples, steps, requests.
pub const COUNT: usize = 100_000_000;

/// What is counted within one batch or for one prompt.
pub const BATCH: usize = 1_000_000;

/// What is drawn for one prompt.
pub const SAMPLES: usize = 4096;

/// Sizes of a model and lengths in tokens, as a model's own description has them.
pub const SIZE: usize = 1 << 24;

/// What a seed may be: nothing is counted with it.
pub const SEED: RangeInclusive<usize> = 0..=i64::MAX as usize;

/// Coefficients and rates that know no bound of their own.
pub const LARGE: f64 = 1e9;

/// Numbers above zero.
pub const POSITIVE: Within<f64> = Within::above(0.0, LARGE);

/// The numbers that a key takes. It has both ends, so that no key is without a bound.
#[derive(Clone, Copy, Debug)]
pub struct Within<T> {
    low: T,
    high: T,
    /// Whether the ends are taken.
    closed: [bool; 2],
}

impl<T> Within<T> {
    /// Numbers above `low` and up to `high`.
    pub const fn above(low: T, high: T) -> Self {
        let closed = [false, true];
        Self { low, high, closed }
    }

    /// Numbers between `low` and `high`.
    pub const fn between(low: T, high: T) -> Self {
        let closed = [false, false];
        Self { low, high, closed }
    }
}

impl Within<f64> {
    /// Numbers of at least 0 and up to `high`.
    pub const fn up_to(high: f64) -> Self {
        let closed = [true, true];
        Self {
            low: 0.0,
            high,
            closed,
        }
    }
}

impl<T> From<RangeInclusive<T>> for Within<T> {
    fn from(range: RangeInclusive<T>) -> Self {
        let (low, high) = range.into_inner();
        let closed = [true, true];
        Self { low, high, closed }
    }
}

impl<T> From<Range<T>> for Within<T> {
    fn from(range: Range<T>) -> Self {
        Self {
            low: range.start,
            high: range.end,
            closed: [true, false],
        }
    }
}

impl<T: Debug + Copy + PartialOrd + Into<Json>> Within<T> {
    /// The number at the low end.
    pub(super) fn low(&self) -> T {
        self.low
    }

    /// The range after `what`.
    pub(super) fn words(&self, what: &str) -> String {
        let open = if self.closed[0] { '[' } else { '(' };
        let close = if self.closed[1] { ']' } else { ')' };
        format!("{what} in {open}{:?}, {:?}{close}", self.low, self.high)
    }

    fn contains(&self, value: T) -> bool {
        (value > self.low || self.closed[0] && value == self.low)
            && (value < self.high || self.closed[1] && value == self.high)
    }

    /// The two ends.
    pub(super) fn ends(&self) -> [Json; 2] {
        [self.low.into(), self.high.into()]
    }
}

pub(super) fn as_float(node: &Node, range: &Within<f64>) -> Option<f64> {
    let value = match node.value {
        Value::Int(value) => value as f64,
        Value::Float(value) => value,
        _ => return None,
    };
    (value.is_finite() && range.contains(value)).then_some(value)
}

pub(super) fn as_whole<T>(node: &Node, range: &Within<T>) -> Option<T>
where
    T: TryFrom<i64> + PartialOrd + Copy + Debug + Into<Json>,
{
    let Value::Int(value) = node.value else {
        return None;
    };
    T::try_from(value)
        .ok()
        .filter(|value| range.contains(*value))
}
