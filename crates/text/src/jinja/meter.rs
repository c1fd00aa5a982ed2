//! What a rendering may use: steps, memory and nesting. A template is a program of somebody else's.

use std::cell::Cell;

use super::error::{Error, Result};

/// Expressions and statements that one rendering may run.
pub const MAX_STEPS: u64 = 10_000_000;

/// Bytes that one rendering may make, all its texts and lists together, those it has dropped too.
pub const MAX_BYTES: u64 = 512 << 20;

/// Bytes that it may write.
pub const MAX_OUTPUT: usize = 32 << 20;

/// How deep calls, statements and expressions may be nested while they run.
const MAX_DEPTH: usize = 2000;

/// Steps for one byte that is only read, as a fraction.
const BYTES_A_STEP: u64 = 64;

/// Counts what a rendering uses.
#[derive(Default)]
pub struct Meter {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    depth: Cell<usize>,
}

impl Meter {
    pub(super) fn step(&self, count: u64) -> Result<()> {
        self.steps.set(self.steps.get().saturating_add(count));
        match self.steps.get() > MAX_STEPS {
            true => Err(Error::bound(format!(
                "it takes more than {MAX_STEPS} steps; does a loop end?"
            ))),
            false => Ok(()),
        }
    }

    /// For bytes that are read.
    pub(super) fn scan(&self, bytes: usize) -> Result<()> {
        self.step(bytes as u64 / BYTES_A_STEP)
    }

    /// For bytes that are made; asked before they are.
    pub(super) fn charge(&self, bytes: usize) -> Result<()> {
        self.bytes
            .set(self.bytes.get().saturating_add(bytes as u64));
        if self.bytes.get() > MAX_BYTES {
            let megabytes = MAX_BYTES >> 20;
            return Err(Error::bound(format!(
                "it makes more than {megabytes} MB of text and lists"
            )));
        }
        self.scan(bytes)
    }

    /// For `count` times `bytes`, which may be more than a number holds.
    pub(super) fn charge_times(&self, bytes: usize, count: usize) -> Result<()> {
        self.charge(bytes.saturating_mul(count))
    }

    /// For what may be nested in itself, before it runs; [`leave`](Self::leave) follows.
    #[inline]
    pub(super) fn enter(&self) -> Result<()> {
        self.step(1)?;
        self.depth.set(self.depth.get() + 1);
        match self.depth.get() > MAX_DEPTH {
            true => Err(Error::bound("it calls itself too often")),
            false => Ok(()),
        }
    }

    /// After what [`enter`](Self::enter) went before.
    #[inline]
    pub(super) fn leave(&self) {
        self.depth.set(self.depth.get() - 1);
    }
}
