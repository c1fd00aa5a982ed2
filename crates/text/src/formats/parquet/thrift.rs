//! Thrift's compact protocol, in which Parquet writes what is not data
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).
//!
//! What is declared is never believed: nothing is allocated by a count, and depth is bounded.

use super::Read;

/// Types of the protocol that Parquet uses.
pub const TRUE: u8 = 1;
pub const FALSE: u8 = 2;
const BYTE: u8 = 3;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Structs within structs.
const DEEPEST: usize = 32;

const CUT: &str = "it ends early";

/// Reads values one after the other.
pub struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Thrift<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            depth: 0,
        }
    }

    /// Bytes read so far.
    pub fn at(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Read<u8> {
        let byte = *self.bytes.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(length).ok_or(CUT)?;
        let taken = self.bytes.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(taken)
    }

    fn varint(&mut self) -> Read<u64> {
        varint(self.bytes, &mut self.at)
    }

    /// An integer of any width but one byte.
    pub fn int(&mut self) -> Read<i64> {
        self.varint().map(zigzag)
    }

    /// An integer that is a size, an offset or a count.
    pub fn count(&mut self) -> Read<u64> {
        let found = self.int()?;
        u64::try_from(found).map_err(|_| format!("a count of {found}"))
    }

    /// A text or bytes.
    pub fn binary(&mut self) -> Read<&'a [u8]> {
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|_| CUT)?)
    }

    /// Reads a struct: `field` is told the number and type of each field, and reads or skips it.
    pub fn fields(&mut self, mut field: impl FnMut(&mut Self, i64, u8) -> Read<()>) -> Read<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        let mut number = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                self.depth -= 1;
                return Ok(());
            }
            number = match head >> 4 {
                0 => self.int()?,
                delta => number + i64::from(delta),
            };
            field(self, number, head & 15)?;
        }
    }

    /// Reads a list: `item` reads each of its items.
    pub fn list(&mut self, mut item: impl FnMut(&mut Self, u8) -> Read<()>) -> Read<()> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        for _ in 0..count {
            item(self, head & 15)?;
        }
        Ok(())
    }

    /// Leaves a field out.
    pub fn skip(&mut self, kind: u8) -> Read<()> {
        match kind {
            TRUE | FALSE => Ok(()),
            _ => self.skip_whole(kind),
        }
    }

    /// Leaves an item out; unlike a field's, its truth value is a byte.
    fn skip_whole(&mut self, kind: u8) -> Read<()> {
        match kind {
            TRUE | FALSE | BYTE => self.take(1).map(|_| ()),
            4..=6 => self.varint().map(|_| ()),
            DOUBLE => self.take(8).map(|_| ()),
            UUID => self.take(16).map(|_| ()),
            BINARY => self.binary().map(|_| ()),
            LIST | SET => self.deeper(|it| it.list(Self::skip_whole)),
            MAP => self.deeper(|it| {
                let count = it.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = it.byte()?;
                for _ in 0..count {
                    it.skip_whole(kinds >> 4)?;
                    it.skip_whole(kinds & 15)?;
                }
                Ok(())
            }),
            STRUCT => self.fields(|it, _, kind| it.skip(kind)),
            other => Err(format!("type {other}, which does not exist")),
        }
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Read<()>) -> Read<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        read(self)?;
        self.depth -= 1;
        Ok(())
    }
}

/// Reads seven bits a byte, the lowest first.
pub fn varint(bytes: &[u8], at: &mut usize) -> Read<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).ok_or(CUT)?;
        *at += 1;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    Err("a number of more than 64 bits".into())
}

/// The number whose sign is kept in the lowest bit.
pub fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
