//! The request to stop, from Ctrl-C or a termination signal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The error of work that ended early because a stop was asked for; what it had saved stays.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("stopped; the same command goes on from the last saved step")]
pub struct Stopped;

/// A request to stop, shared by its clones. Long work asks at each step.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

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
                    if raised.0.swap(true, Ordering::SeqCst) {
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

    /// Raises the request.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
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
}
