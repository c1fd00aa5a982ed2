//! Numbers and ranges: checked, and put into words.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use super::{Node, Value};

pub(super) fn as_float(node: &Node, range: &impl RangeBounds<f64>) -> Option<f64> {
    let value = match node.value {
        Value::Int(value) => value as f64,
        Value::Float(value) => value,
        _ => return None,
    };
    (value.is_finite() && range.contains(&value)).then_some(value)
}

pub(super) fn as_whole<T: TryFrom<i64> + PartialOrd>(
    node: &Node,
    range: &impl RangeBounds<T>,
) -> Option<T> {
    let Value::Int(value) = node.value else {
        return None;
    };
    T::try_from(value)
        .ok()
        .filter(|value| range.contains(value))
}

pub(super) fn low<T: Clone>(range: &impl RangeBounds<T>, otherwise: T) -> T {
    match range.start_bound() {
        Bound::Included(low) | Bound::Excluded(low) => low.clone(),
        Bound::Unbounded => otherwise,
    }
}

pub(super) fn whole_words<T: Debug>(range: &impl RangeBounds<T>) -> String {
    within("a whole number", range)
}

pub(super) fn within<T: Debug>(what: &str, range: &impl RangeBounds<T>) -> String {
    use Bound::{Excluded, Included, Unbounded};
    match (range.start_bound(), range.end_bound()) {
        (Unbounded, Unbounded) => what.into(),
        (Included(low), Unbounded) => format!("{what} of at least {low:?}"),
        (Excluded(low), Unbounded) => format!("{what} above {low:?}"),
        (Unbounded, Included(high)) => format!("{what} of at most {high:?}"),
        (Unbounded, Excluded(high)) => format!("{what} below {high:?}"),
        (low, high) => {
            let (open, low) = match low {
                Included(low) => ('[', low),
                Excluded(low) => ('(', low),
                Unbounded => return what.into(),
            };
            let (high, close) = match high {
                Included(high) => (high, ']'),
                Excluded(high) => (high, ')'),
                Unbounded => return what.into(),
            };
            format!("{what} in {open}{low:?}, {high:?}{close}")
        }
    }
}
