//! Work done ahead of its use, on a thread of its own.

use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread::scope;

/// Finished items that wait to be used; one more is under way.
const AHEAD: usize = 2;

/// Runs `items` on another thread, a few items ahead of `consume`, which meets them in order. Items not
/// met when `consume` returns are dropped.
///
/// # Panics
///
/// Where `items` panics, `consume` does when it comes to that place.
pub fn ahead<I, T>(items: I, consume: impl FnOnce(&mut dyn Iterator<Item = I::Item>) -> T) -> T
where
    I: Iterator + Send,
    I::Item: Send,
{
    scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        let mut worker = Some(scope.spawn(move || {
            for item in items {
                // Nobody listens any more.
                if sender.send(item).is_err() {
                    break;
                }
            }
        }));
        let mut received = std::iter::from_fn(|| {
            let item = receiver.recv().ok();
            if item.is_none()
                && let Some(Err(panic)) = worker.take().map(|worker| worker.join())
            {
                resume_unwind(panic);
            }
            item
        });
        let result = consume(&mut received);
        // Lets a worker that waits for room end, before the scope waits for it.
        drop(receiver);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn items_come_in_order_and_few_are_made_before_they_are_used() {
        let made = AtomicUsize::new(0);
        let items = (0..50).inspect(|_| {
            made.fetch_add(1, Ordering::SeqCst);
        });
        ahead(items, |items| {
            for (used, item) in items.enumerate() {
                assert_eq!(item, used);
                // Those that wait, the one under way, and this one.
                assert!(made.load(Ordering::SeqCst) <= used + AHEAD + 2);
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 50);
    }

    #[test]
    fn an_early_end_does_not_wait_for_the_rest() {
        let first = ahead(0.., |items| items.next());
        assert_eq!(first, Some(0));
    }

    #[test]
    fn a_panic_arrives_where_the_item_would_have() {
        let met = AtomicUsize::new(0);
        let items = (0..5).inspect(|&item| assert!(item < 3, "broken item"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ahead(items, |items| {
                for _ in items {
                    met.fetch_add(1, Ordering::SeqCst);
                }
            });
        }));
        let message = caught.unwrap_err();
        assert_eq!(message.downcast_ref(), Some(&"broken item"));
        assert_eq!(met.load(Ordering::SeqCst), 3);
    }
}
