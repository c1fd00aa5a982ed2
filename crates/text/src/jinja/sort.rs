//! Sorting by an order that may fail.

use std::cmp::Ordering;

use super::error::Result;

/// Sorts and keeps the order of equals. The standard library's sorts may panic where an order contradicts itself,
/// as that of floats does with NaN; this one does not, and it stops at the first error.
pub(super) fn sort<T>(
    mut items: Vec<T>,
    order: &mut dyn FnMut(&T, &T) -> Result<Option<Ordering>>,
) -> Result<Vec<T>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let right = items.split_off(items.len() / 2);
    let mut sorted = Vec::with_capacity(items.len() + right.len());
    let mut left = sort(items, order)?.into_iter().peekable();
    let mut right = sort(right, order)?.into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = match order(b, a)? {
            Some(Ordering::Less) => right.next(),
            _ => left.next(),
        };
        sorted.extend(next);
    }
    sorted.extend(left);
    sorted.extend(right);
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jinja::error::Error;

    #[test]
    fn an_order_that_contradicts_itself_or_fails_panics_nowhere() {
        let floats = |count: u32| {
            (0..count).map(|at| match at % 3 {
                0 => f64::NAN,
                _ => f64::from(at * 7919 % 101),
            })
        };
        let sorted = sort(floats(500).collect(), &mut |a, b| Ok(a.partial_cmp(b))).unwrap();
        assert_eq!(sorted.len(), 500);
        let mut asked = 0;
        let failed = sort(floats(500).collect(), &mut |_, _| {
            asked += 1;
            Err(Error::operation("no order"))
        });
        assert!(failed.is_err() && asked == 1);
        let by_tens = sort(vec![31, 12, 30, 11, 10], &mut |a, b| {
            Ok(Some((a / 10).cmp(&(b / 10))))
        });
        assert_eq!(by_tens.unwrap(), [12, 11, 10, 31, 30]);
    }
}
