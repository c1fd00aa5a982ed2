//! How fast an answer has to come.

use std::time::{Duration, Instant};

/// Whether enough comes in to be worth waiting for.
pub(super) struct Pace {
    window: Duration,
    since: Instant,
    bytes: usize,
}

impl Pace {
    /// Less in a second is next to nothing.
    const LEAST: f64 = 1024.0;

    pub fn new(window: Duration) -> Self {
        Self {
            window,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Counts what came; no once a whole window was too slow.
    pub fn keeps(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let seconds = self.since.elapsed();
        if seconds < self.window {
            return true;
        }
        let enough = self.bytes as f64 >= Self::LEAST * seconds.as_secs_f64();
        *self = Self::new(self.window);
        enough
    }
}
