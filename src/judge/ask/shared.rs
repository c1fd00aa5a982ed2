//! Work under way by key, so that who asks for the same meanwhile waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Work under way.
#[derive(Debug)]
pub(super) struct Flights<T>(Mutex<HashMap<String, Arc<Flight<T>>>>);

#[derive(Debug)]
struct Flight<T> {
    state: Mutex<State<T>>,
    landed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Aloft,
    Landed(T),
    /// Whoever did the work panicked.
    Lost,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Clone> Flights<T> {
    /// Nothing under way.
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Does `work`, or waits for the same work of another thread. Also says whether it was another's.
    pub(super) fn share(&self, key: &str, work: impl FnOnce() -> T) -> (T, bool) {
        loop {
            let theirs = {
                let mut flights = lock(&self.0);
                match flights.get(key) {
                    Some(flight) => Arc::clone(flight),
                    None => {
                        let flight = Arc::new(Flight {
                            state: Mutex::new(State::Aloft),
                            landed: Condvar::new(),
                        });
                        flights.insert(key.to_owned(), Arc::clone(&flight));
                        drop(flights);
                        let landing = Landing {
                            flights: self,
                            flight,
                            key,
                        };
                        let done = work();
                        landing.with(State::Landed(done.clone()));
                        return (done, false);
                    }
                }
            };
            let mut state = lock(&theirs.state);
            while matches!(*state, State::Aloft) {
                state = theirs
                    .landed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if let State::Landed(done) = &*state {
                return (done.clone(), true);
            }
        }
    }
}

/// Ends a flight even if its work panics.
struct Landing<'a, T> {
    flights: &'a Flights<T>,
    flight: Arc<Flight<T>>,
    key: &'a str,
}

impl<T> Landing<'_, T> {
    fn with(self, state: State<T>) {
        *lock(&self.flight.state) = state;
    }
}

impl<T> Drop for Landing<'_, T> {
    fn drop(&mut self) {
        lock(&self.flights.0).remove(self.key);
        let mut state = lock(&self.flight.state);
        if matches!(*state, State::Aloft) {
            *state = State::Lost;
        }
        self.flight.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn equal_work_is_done_once_and_a_panic_leaves_it_to_another() {
        let flights = Flights::new();
        let (done, shared) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            std::thread::sleep(Duration::from_millis(300));
            if done.fetch_add(1, Ordering::SeqCst) == 0 {
                panic!("the first is lost, as this test wants it");
            }
            7
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        let (value, theirs) = flights.share("a", work);
                        shared.fetch_add(usize::from(theirs), Ordering::SeqCst);
                        assert_eq!(value, 7);
                    })
                })
                .collect();
            let lost = threads.into_iter().filter_map(|thread| thread.join().err());
            assert_eq!(lost.count(), 1);
        });
        assert_eq!(done.load(Ordering::SeqCst), 2);
        assert_eq!(shared.load(Ordering::SeqCst), 4);
        assert_eq!(flights.share("a", || 8), (8, false));
    }
}
