//! How much is made of a file.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one row may have, as text or as values.
pub const LARGEST_ROW: usize = 64 << 20;

/// How many times as large as it is a file may become once that is [`MUCH`]: what people write is seldom compressed to
/// a hundredth.
const TIMES: u64 = 1000;
const MUCH: u64 = 1 << 30;

/// Counts what compressed data becomes.
#[derive(Debug, Default)]
pub struct Expanded {
    packed: AtomicU64,
    whole: AtomicU64,
}

impl Expanded {
    /// Counts data that becomes so many bytes.
    ///
    /// # Errors
    /// When it is out of all proportion.
    pub fn add(&self, packed: u64, whole: u64) -> Result<(), String> {
        let packed = self.packed.fetch_add(packed, Ordering::Relaxed) + packed;
        let whole = self.whole.fetch_add(whole, Ordering::Relaxed) + whole;
        match whole > MUCH && whole / TIMES > packed {
            true => Err(format!(
                "{packed} compressed bytes become more than {TIMES} times as many; nothing that people write does"
            )),
            false => Ok(()),
        }
    }
}

/// Counts the bytes that are read.
pub struct Counted<R> {
    pub inner: R,
    pub count: std::sync::Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Ends a decoder that makes too much of what it reads.
pub struct Within<R> {
    pub inner: R,
    /// What the decoder has read so far.
    pub packed: std::sync::Arc<AtomicU64>,
    pub whole: u64,
}

impl<R: Read> Read for Within<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.whole += read as u64;
        let expanded = Expanded::default();
        expanded
            .add(self.packed.load(Ordering::Relaxed), self.whole)
            .map_err(io::Error::other)?;
        Ok(read)
    }
}
