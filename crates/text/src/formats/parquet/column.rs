//! One leaf's values in a group of rows, each with its levels.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Read;
use super::bits::{Runs, width};
use super::pages::{Data, Page, Pages};
use super::schema::{Meaning, Physical};
use super::values::{Dictionary, Scalar, Values};

/// Bytes of pages and dictionaries held at once, of all columns.
const MOST_HELD: usize = 1 << 30;

/// What a leaf is.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    pub physical: Physical,
    pub meaning: Meaning,
    pub defined: u32,
    pub repeated: u32,
}

/// Where in its row a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    pub repeated: u32,
    pub defined: u32,
}

#[derive(Debug)]
pub struct Column {
    pub leaf: Leaf,
    pages: Pages,
    dictionary: Dictionary,
    data: Data,
    repeated: Runs,
    defined: Runs,
    values: Values,
    /// Levels of the page that were not read.
    left: u64,
    next: Option<Levels>,
    /// Bytes that all columns hold, and this one of them.
    all: Arc<AtomicUsize>,
    held: usize,
}

impl Column {
    pub fn new(leaf: Leaf, pages: Pages, all: Arc<AtomicUsize>) -> Self {
        Self {
            leaf,
            pages,
            dictionary: Dictionary::default(),
            data: Data::default(),
            repeated: Runs::default(),
            defined: Runs::default(),
            values: Values::Plain(0),
            left: 0,
            next: None,
            all,
            held: 0,
        }
    }

    /// The levels of the next value; none at the end.
    pub fn peek(&mut self) -> Read<Option<Levels>> {
        if self.next.is_some() {
            return Ok(self.next);
        }
        while self.left == 0 {
            match self.pages.next()? {
                None => return Ok(None),
                Some(Page::Dictionary { bytes, count }) => {
                    self.dictionary = Dictionary::new(self.leaf.physical, bytes, count)?;
                }
                Some(Page::Data(data)) => self.open(data)?,
            }
            self.hold()?;
        }
        self.left -= 1;
        let level = |runs: &mut Runs, most: u32, bytes: &[u8]| match most {
            0 => Ok(0),
            _ => match runs.next(bytes)? {
                level if level <= most => Ok(level),
                level => Err(format!("level {level} where {most} is the highest")),
            },
        };
        self.next = Some(Levels {
            repeated: level(&mut self.repeated, self.leaf.repeated, &self.data.bytes)?,
            defined: level(&mut self.defined, self.leaf.defined, &self.data.bytes)?,
        });
        Ok(self.next)
    }

    /// Reads the value whose levels were peeked at; nothing where it is absent.
    pub fn take(&mut self) -> Read<Option<Scalar<'_>>> {
        match self.next.take() {
            Some(levels) if levels.defined == self.leaf.defined => {
                let physical = self.leaf.physical;
                let value = self
                    .values
                    .next(physical, &self.data.bytes, &self.dictionary)?;
                Ok(Some(value))
            }
            _ => Ok(None),
        }
    }

    fn open(&mut self, data: Data) -> Read<()> {
        let Leaf {
            physical,
            defined,
            repeated,
            ..
        } = self.leaf;
        let mut at = 0;
        // The levels of version 1 have their length in front, those of version 2 in the page's header.
        let mut levels = |most: u32, length: Option<usize>, encoding: Option<i64>| {
            let end = |at: usize, length: usize| {
                let end = at.checked_add(length);
                end.filter(|end| *end <= data.bytes.len())
                    .ok_or("a page ends within its levels")
            };
            let length = match length {
                Some(length) => length,
                None if most == 0 => return Ok(Runs::default()),
                None if encoding.is_some_and(|it| it != 3) => {
                    return Err("levels that are not encoded as RLE, which are not read".into());
                }
                None => {
                    let from = at;
                    at = end(at, 4)?;
                    let length = &data.bytes[from..at];
                    u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize
                }
            };
            let from = at;
            at = end(at, length)?;
            Runs::new(width(most), from, at)
        };
        let (of_repeated, of_defined) = data.levels.unzip();
        self.repeated = levels(repeated, of_repeated, data.encodings[1])?;
        self.defined = levels(defined, of_defined, data.encodings[0])?;
        self.values = Values::new(physical, data.encoding, &data.bytes, at)?;
        self.left = data.count;
        self.data = data;
        Ok(())
    }

    /// Notes what is held.
    fn hold(&mut self) -> Read<()> {
        let held = self.dictionary.size() + self.data.bytes.len();
        self.all.fetch_add(held, Ordering::Relaxed);
        let all = self.all.fetch_sub(self.held, Ordering::Relaxed) - self.held;
        self.held = held;
        match all > MOST_HELD {
            true => Err(format!(
                "the pages that one row is in have more than {MOST_HELD} bytes; write it with smaller pages"
            )),
            false => Ok(()),
        }
    }
}

impl Drop for Column {
    fn drop(&mut self) {
        self.all.fetch_sub(self.held, Ordering::Relaxed);
    }
}
