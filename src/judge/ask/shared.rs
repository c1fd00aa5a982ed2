//! Work under way by key, so that who asks for the same meanwhile waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Work under way.
#[derive(Debug)]
pub(super) struct Shared<T>(Mutex<HashMap<String, Arc<OnceLock<T>>>>);

impl<T: Clone> Shared<T> {
    /// Nothing under way.
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Does `work`, or waits for the same work of another thread; where that one panics, one of those who wait does
    /// it. Also says whether it was another's.
    pub(super) fn get(&self, key: &str, work: impl FnOnce() -> T) -> (T, bool) {
        let cell = Arc::clone(lock(&self.0).entry(key.to_owned()).or_default());
        let mut ours = false;
        let done = cell.get_or_init(|| {
            ours = true;
            work()
        });
        if ours {
            lock(&self.0).remove(key);
        }
        (done.clone(), !ours)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn equal_work_is_done_once_and_a_panic_leaves_it_to_another() {
        let under_way = Shared::new();
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
                        let (value, theirs) = under_way.get("a", work);
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
        assert_eq!(under_way.get("a", || 8), (8, false));
    }
}
