//! The request to stop, from Ctrl-C or a termination signal.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::say;

/// How long work that was asked to stop is waited for at least.
const GRACE: Duration = Duration::from_secs(30);
/// And how many of its longest steps.
const STEPS: u32 = 3;
/// And at most.
const LONGEST: Duration = Duration::from_secs(600);

/// The longest step of this process, in milliseconds.
static STEP: AtomicU64 = AtomicU64::new(0);

/// The exit code of a run that was stopped.
pub const STOPPED: u8 = 130;

/// The error of work that ended early because a stop was asked for; what it had saved stays.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("stopped; the same command goes on from the last saved step")]
pub struct Stopped;

/// A request to stop, shared by its clones. Long work asks at each step.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    raised: Arc<AtomicBool>,
    /// A request that this one follows.
    parent: Option<Arc<Self>>,
}

impl Stop {
    /// A request that no signal raises.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process's request: the first Ctrl-C (or SIGTERM, SIGHUP) raises it. The second ends the process with
    /// code 130 at once, and so does a stage that has not stopped after half a minute or three of its longest steps,
    /// ten minutes at most: it hangs, and what was saved stays. Later calls return the same request.
    pub fn install() -> Self {
        static PROCESS: OnceLock<Stop> = OnceLock::new();
        PROCESS
            .get_or_init(|| {
                let stop = Self::new();
                let raised = stop.clone();
                let hooked = ctrlc::set_handler(move || {
                    if raised.raised.swap(true, Ordering::SeqCst) {
                        end();
                    }
                    // A thread of its own each: a terminal that takes no more text must keep neither from its turn.
                    thread::spawn(|| {
                        thread::sleep(grace());
                        thread::spawn(|| say("the work did not stop; ending it"));
                        thread::sleep(Duration::from_millis(200));
                        end();
                    });
                    thread::spawn(|| say("\nstopping after this step; Ctrl-C again stops at once"));
                });
                if let Err(error) = hooked {
                    say(&format!(
                        "cannot catch Ctrl-C ({error}); it will stop the run at once"
                    ));
                }
                stop
            })
            .clone()
    }

    /// A request of some of the work: it is raised with this one, or alone.
    pub fn child(&self) -> Self {
        Self {
            raised: Arc::default(),
            parent: Some(Arc::new(self.clone())),
        }
    }

    /// Tells how long a step took, so that a stop waits for one as long.
    pub fn step_took(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        STEP.fetch_max(millis, Ordering::Relaxed);
    }

    /// Raises the request.
    pub fn request(&self) {
        self.raised.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        let parent = self.parent.as_ref();
        self.raised.load(Ordering::SeqCst) || parent.is_some_and(|parent| parent.requested())
    }

    /// Ends work by `?` where nothing is left to save.
    ///
    /// # Errors
    /// [`Stopped`] once a stop was asked for.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.requested() {
            Err(Stopped)
        } else {
            Ok(())
        }
    }
}

fn grace() -> Duration {
    let step = Duration::from_millis(STEP.load(Ordering::Relaxed));
    step.saturating_mul(STEPS).clamp(GRACE, LONGEST)
}

/// Ends the process at once. Nothing is tidied up, since what would do so may be what hangs; files are whole or
/// absent all the same.
fn end() -> ! {
    // SAFETY: `_exit` takes any number and does not come back.
    unsafe { libc::_exit(STOPPED.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_request() {
        let stop = Stop::new();
        let clone = stop.clone();
        assert!(clone.check().is_ok());
        stop.request();
        assert!(clone.requested() && clone.check().is_err());
        assert!(!Stop::new().requested());
    }

    #[test]
    fn a_stop_waits_for_half_a_minute_or_three_of_the_longest_steps_and_not_for_ever() {
        let stop = Stop::new();
        assert_eq!(grace(), GRACE);
        for (seconds, waits) in [(1, 30), (40, 120), (2, 120), (100_000, 600)] {
            stop.step_took(Duration::from_secs(seconds));
            assert_eq!(grace(), Duration::from_secs(waits));
        }
    }

    #[test]
    fn a_child_stops_alone_or_with_its_parent() {
        let (alone, all) = (Stop::new(), Stop::new());
        let child = alone.child();
        child.request();
        assert!(child.requested() && !alone.requested());
        let child = all.child().child();
        assert!(!child.requested());
        all.request();
        assert!(child.requested());
    }
}
