//! A budget of requests and tokens.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What may be spent, and what has been.
#[derive(Debug)]
pub(super) struct Budget {
    max_requests: u64,
    max_tokens: u64,
    spent: Mutex<Spent>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Spent {
    requests: u64,
    tokens: u64,
    /// Tokens that requests under way may take.
    reserved: u64,
    closed: bool,
}

/// Leave to send one request. Dropping it settles what the request took.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    budget: &'a Budget,
    reserved: u64,
    tokens: u64,
}

impl Budget {
    /// A budget; nothing stands for no limit.
    pub(super) fn new(max_requests: Option<u64>, max_tokens: Option<u64>) -> Self {
        Self {
            max_requests: max_requests.unwrap_or(u64::MAX),
            max_tokens: max_tokens.unwrap_or(u64::MAX),
            spent: Mutex::default(),
            settled: Condvar::new(),
        }
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to send a request that may take `tokens`, or nothing once one did not fit: then the budget is
    /// closed, so that what is asked does not depend on what happens to be small.
    ///
    /// Waits while it depends on what the requests under way will have taken.
    pub(super) fn leave(&self, tokens: u64) -> Option<Leave<'_>> {
        let mut spent = self.spent();
        loop {
            let fits = |taken: u64| taken.saturating_add(tokens) <= self.max_tokens;
            if spent.closed || spent.requests >= self.max_requests || !fits(spent.tokens) {
                spent.closed = true;
                self.settled.notify_all();
                return None;
            }
            if fits(spent.tokens.saturating_add(spent.reserved)) {
                spent.requests += 1;
                spent.reserved = spent.reserved.saturating_add(tokens);
                return Some(Leave {
                    budget: self,
                    reserved: tokens,
                    tokens: 0,
                });
            }
            spent = self
                .settled
                .wait(spent)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Requests and tokens spent so far.
    pub(super) fn used(&self) -> (u64, u64) {
        let spent = self.spent();
        (spent.requests, spent.tokens)
    }
}

impl Leave<'_> {
    /// Tells what the request took; without it, nothing.
    pub(super) fn took(mut self, tokens: u64) {
        self.tokens = tokens;
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut spent = self.budget.spent();
        spent.reserved = spent.reserved.saturating_sub(self.reserved);
        spent.tokens = spent.tokens.saturating_add(self.tokens);
        self.budget.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn nothing_is_sent_that_might_not_fit_and_the_first_that_does_not_ends_it() {
        let budget = Budget::new(None, Some(100));
        budget.leave(60).unwrap().took(30);
        drop(budget.leave(60).unwrap());
        assert_eq!(budget.used(), (2, 30));
        assert!(budget.leave(71).is_none());
        assert!(budget.leave(1).is_none());
        let requests = Budget::new(Some(2), None);
        requests.leave(u64::MAX).unwrap().took(u64::MAX);
        drop(requests.leave(5).unwrap());
        assert!(requests.leave(0).is_none());
    }

    #[test]
    fn many_at_once_spend_it_all_but_no_more() {
        let budget = Budget::new(None, Some(1_000));
        let sent = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Some(leave) = budget.leave(50) {
                        sent.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        leave.took(10);
                    }
                });
            }
        });
        // The 96th request is the last before which 50 of the 1,000 are left.
        assert_eq!(sent.load(Ordering::SeqCst), 96);
        assert_eq!(budget.used(), (96, 960));
    }
}
