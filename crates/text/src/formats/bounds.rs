//! How much is made of a file.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};

/// Bytes that one row may have, as text or as values.
pub const LARGEST_ROW: usize = 32 << 20;

/// How many times as large as it is a file may become once that is [`MUCH`]: what people write is seldom compressed to
/// a hundredth.
const TIMES: u64 = 1000;
const MUCH: u64 = 512 << 20;

/// Whether so many bytes may become so many others.
///
/// # Errors
/// When they are out of all proportion.
pub fn in_proportion(packed: u64, whole: u64) -> std::result::Result<(), String> {
    match whole > MUCH && whole / TIMES > packed {
        true => Err(format!(
            "{packed} bytes become more than {TIMES} times as many; nothing that people write does"
        )),
        false => Ok(()),
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
        let packed = self.packed.load(Ordering::Relaxed);
        in_proportion(packed, self.whole).map_err(io::Error::other)?;
        Ok(read)
    }
}

/// Reads a line with its end, and whether there was one.
///
/// # Errors
/// What cannot be read, or is longer than a row may be.
pub fn line_into(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    let before = line.len();
    input.take(LARGEST_ROW as u64 + 2).read_until(b'\n', line)?;
    if line.len() - before > LARGEST_ROW + 1 {
        bail!("a line of more than {LARGEST_ROW} bytes");
    }
    Ok(line.len() > before)
}
