//! The request to stop, from Ctrl-C or a termination signal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

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

    /// The process's request: the first Ctrl-C (or SIGTERM, SIGHUP) raises it, the second exits
    /// with code 130 at once. Later calls return the same request.
    pub fn install() -> Self {
        static PROCESS: OnceLock<Stop> = OnceLock::new();
        PROCESS
            .get_or_init(|| {
                let stop = Self::new();
                let raised = stop.clone();
                let hooked = ctrlc::set_handler(move || {
                    if raised.raised.swap(true, Ordering::SeqCst) {
                        std::process::exit(130);
                    }
                    eprintln!("\nstopping after this step; Ctrl-C again stops at once");
                });
                if let Err(error) = hooked {
                    eprintln!("cannot catch Ctrl-C ({error}); it will stop the run at once");
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
