//! Which slots of the key-value cache are taken, and by how many.

use std::ops::Range;

/// Slots in the order of the tokens that they hold, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Span(Vec<Range<u32>>);

impl Span {
    /// Adds slots at the end.
    pub(super) fn push(&mut self, range: Range<u32>) {
        match self.0.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => self.0.push(range),
        }
    }

    /// Adds all slots of `other` at the end.
    pub(super) fn extend(&mut self, other: &Span) {
        for range in &other.0 {
            self.push(range.clone());
        }
    }

    /// The slots one by one.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().cloned().flatten()
    }

    /// The slots of the tokens from the `from`th to before the `to`th.
    pub(super) fn part(&self, from: usize, to: usize) -> Vec<Range<u32>> {
        let mut part = Vec::with_capacity(self.0.len());
        let mut before = 0;
        for range in &self.0 {
            let first = range.start + from.saturating_sub(before) as u32;
            let last = (range.start + to.saturating_sub(before) as u32).min(range.end);
            if first < last {
                part.push(first..last);
            }
            before += range.len();
        }
        part
    }
}

/// The slots of a cache. A slot is taken while somebody holds it.
#[derive(Debug)]
pub(super) struct Slots {
    /// Holders of each slot.
    holders: Vec<u32>,
    /// Free slots in order, neighbours merged.
    free: Vec<Range<u32>>,
}

impl Slots {
    /// `count` free slots.
    pub(super) fn new(count: usize) -> Self {
        let mut free = Span::default();
        free.push(0..count as u32);
        Self {
            holders: vec![0; count],
            free: free.0,
        }
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.free.iter().map(|range| range.len()).sum()
    }

    /// Takes `count` slots for one holder: side by side where they fit, else from the first free on.
    ///
    /// # Panics
    ///
    /// If fewer are free.
    pub(super) fn take(&mut self, count: usize) -> Span {
        let fits = self.free.iter().position(|range| range.len() >= count);
        let mut at = fits.unwrap_or(0);
        let mut span = Span::default();
        let mut left = count as u32;
        while left > 0 {
            let range = &mut self.free[at];
            let end = range.end.min(range.start + left);
            span.push(range.start..end);
            left -= end - range.start;
            range.start = end;
            at += 1;
        }
        self.free.retain(|range| !range.is_empty());
        self.hold(&span);
        span
    }

    /// Adds a holder.
    pub(super) fn hold(&mut self, span: &Span) {
        for slot in span.iter() {
            self.holders[slot as usize] += 1;
        }
    }

    /// Takes a holder away; slots without one are free again.
    ///
    /// # Panics
    ///
    /// If a slot has none.
    pub(super) fn release(&mut self, span: &Span) {
        for slot in span.iter() {
            let holders = &mut self.holders[slot as usize];
            *holders = holders.checked_sub(1).expect("a slot is held");
            if *holders == 0 {
                self.free.push(slot..slot + 1);
            }
        }
        self.free.sort_unstable_by_key(|range| range.start);
        let mut merged = Span::default();
        for range in self.free.drain(..) {
            merged.push(range);
        }
        self.free = merged.0;
    }
}

/// Slots for any `batch` requests that follow each other, and for one prompt that is kept for
/// requests still waiting. More are never needed: where long replies keep old slots taken, new
/// requests wait.
pub(super) fn capacity<'a>(
    order: &[usize],
    batch: usize,
    prompt: impl Fn(usize) -> &'a [u32],
    limit: impl Fn(usize) -> usize,
) -> usize {
    let mut before: &[u32] = &[];
    let needs: Vec<usize> = order
        .iter()
        .map(|&i| {
            let own = if prompt(i) == before {
                prompt(i).len()
            } else {
                0
            };
            before = prompt(i);
            limit(i) - 1 - own
        })
        .collect();
    let most = needs
        .windows(batch.min(needs.len()).max(1))
        .map(|window| window.iter().sum())
        .max()
        .unwrap_or(0);
    let longest = order.iter().map(|&i| prompt(i).len()).max().unwrap_or(0);
    most + longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_part_of_a_span_keeps_its_order() {
        let mut span = Span::default();
        for range in [4..7, 7..9, 0..2] {
            span.push(range);
        }
        assert_eq!(span.0, [4..9, 0..2]);
        for (from, to) in [(0, 2), (3, 6), (5, 7), (2, 2), (0, 7)] {
            let part = span.part(from, to).into_iter().flatten();
            assert!(part.eq(span.iter().skip(from).take(to - from)));
        }
    }

    proptest! {
        /// Whatever is taken, shared and released: no slot has two takers, and none is lost.
        #[test]
        fn slots_are_neither_lost_nor_given_twice(
            moves in prop::collection::vec((0usize..12, 0usize..8, any::<bool>()), 1..60),
        ) {
            let mut slots = Slots::new(40);
            let mut held: Vec<Span> = Vec::new();
            for (count, which, share) in moves {
                if count <= slots.free() && (count > 0 || held.is_empty()) {
                    let span = slots.take(count);
                    prop_assert_eq!(span.iter().count(), count);
                    for slot in span.iter() {
                        prop_assert!(held.iter().all(|other| other.iter().all(|o| o != slot)));
                    }
                    held.push(span);
                } else if !held.is_empty() {
                    let which = which % held.len();
                    if share {
                        slots.hold(&held[which]);
                        held.push(held[which].clone());
                    } else {
                        slots.release(&held.swap_remove(which));
                    }
                }
                let taken: std::collections::HashSet<u32> =
                    held.iter().flat_map(Span::iter).collect();
                prop_assert_eq!(taken.len() + slots.free(), 40);
            }
        }
    }
}
