//! Levels, indices and differences: small numbers, packed.

use super::Read;
use super::thrift::{varint, zigzag};

const CUT: &str = "a page ends within its values";

/// Runs of equal numbers and of packed ones, in turn
/// (<https://github.com/apache/parquet-format/blob/master/Encodings.md#RLE>).
#[derive(Debug, Default)]
pub struct Runs {
    width: u32,
    at: usize,
    end: usize,
    /// Numbers left of the run, and what they are: one number, or packed from this bit on.
    left: u64,
    run: Run,
}

#[derive(Debug)]
enum Run {
    Equal(u32),
    Packed(u64),
}

impl Default for Run {
    fn default() -> Self {
        Run::Equal(0)
    }
}

impl Runs {
    /// The runs in `bytes[at..end]`, of numbers of `width` bits.
    pub fn new(width: u32, at: usize, end: usize) -> Read<Self> {
        match width {
            0..=32 => Ok(Self {
                width,
                at,
                end,
                ..Self::default()
            }),
            _ => Err(format!("numbers of {width} bits")),
        }
    }

    pub fn next(&mut self, bytes: &[u8]) -> Read<u32> {
        let bytes = bytes.get(..self.end).ok_or(CUT)?;
        while self.left == 0 {
            let head = varint(bytes, &mut self.at)?;
            let wide = self.width.div_ceil(8) as usize;
            if head & 1 == 0 {
                let mut number = [0; 4];
                let next = self.at + wide;
                number[..wide].copy_from_slice(bytes.get(self.at..next).ok_or(CUT)?);
                self.at = next;
                self.left = head >> 1;
                self.run = Run::Equal(u32::from_le_bytes(number));
            } else {
                let size = (head >> 1).saturating_mul(u64::from(self.width));
                self.run = Run::Packed(self.at as u64 * 8);
                // The last group may be cut to what it holds.
                let left = (bytes.len() - self.at) as u64;
                self.at += size.min(left) as usize;
                self.left = (head >> 1).saturating_mul(8);
            }
        }
        self.left -= 1;
        Ok(match &mut self.run {
            Run::Equal(number) => *number,
            Run::Packed(bit) => {
                let number = packed(bytes, *bit, self.width)?;
                *bit += u64::from(self.width);
                number as u32
            }
        })
    }
}

/// The number of `width` bits, at most 64, from a bit on.
fn packed(bytes: &[u8], bit: u64, width: u32) -> Read<u64> {
    if width == 0 {
        return Ok(0);
    }
    let (from, shift) = ((bit / 8) as usize, (bit % 8) as u32);
    let size = (shift + width).div_ceil(8) as usize;
    let mut number = [0; 16];
    number[..size].copy_from_slice(bytes.get(from..from + size).ok_or(CUT)?);
    let number = u128::from_le_bytes(number) >> shift;
    Ok((number & ((1_u128 << width) - 1)) as u64)
}

/// The bits that numbers up to `most` take.
pub fn width(most: u32) -> u32 {
    u32::BITS - most.leading_zeros()
}

/// Numbers by what they differ from the one before them
/// (<https://github.com/apache/parquet-format/blob/master/Encodings.md#DELTAENC>).
#[derive(Clone, Debug, Default)]
pub struct Deltas {
    at: usize,
    /// Numbers of a miniblock, and miniblocks of a block.
    size: u64,
    minis: usize,
    /// Numbers left in all, and in the miniblock.
    left: u64,
    mini: u64,
    /// Bits of each miniblock's numbers, the one that is read and its next bit.
    widths: Vec<u8>,
    now: usize,
    bit: u64,
    first: bool,
    least: i64,
    last: i64,
}

impl Deltas {
    /// Begins at a place of the page.
    pub fn new(bytes: &[u8], mut at: usize) -> Read<Self> {
        let block = varint(bytes, &mut at)?;
        let minis = varint(bytes, &mut at)?;
        let left = varint(bytes, &mut at)?;
        let last = zigzag(varint(bytes, &mut at)?);
        let fits = (1..=1024).contains(&minis) && block <= 1 << 20 && block % minis == 0;
        if !fits || !(block / minis).is_multiple_of(8) || block == 0 {
            return Err(format!("blocks of {block} numbers in {minis} parts"));
        }
        Ok(Self {
            at,
            size: block / minis,
            minis: minis as usize,
            left,
            last,
            first: true,
            ..Self::default()
        })
    }

    pub fn next(&mut self, bytes: &[u8]) -> Read<i64> {
        self.left = self.left.checked_sub(1).ok_or(CUT)?;
        if std::mem::take(&mut self.first) {
            return Ok(self.last);
        }
        if self.mini == 0 {
            self.open(bytes)?;
        }
        let width = self.widths[self.now];
        let delta = packed(bytes, self.bit, u32::from(width))? as i64;
        self.bit += u64::from(width);
        self.mini -= 1;
        self.last = self.last.wrapping_add(self.least).wrapping_add(delta);
        Ok(self.last)
    }

    /// Goes on to the next miniblock, of the next block after the last.
    fn open(&mut self, bytes: &[u8]) -> Read<()> {
        self.now += 1;
        if self.now >= self.widths.len() {
            self.least = zigzag(varint(bytes, &mut self.at)?);
            let end = self.at + self.minis;
            self.widths = bytes.get(self.at..end).ok_or(CUT)?.to_vec();
            (self.at, self.now) = (end, 0);
        }
        let width = self.widths[self.now];
        if width > 64 {
            return Err(format!("numbers of {width} bits"));
        }
        self.bit = self.at as u64 * 8;
        self.at += (u64::from(width) * self.size / 8) as usize;
        self.mini = self.size;
        Ok(())
    }

    /// The place after all of its numbers.
    pub fn end(&self, bytes: &[u8]) -> Read<usize> {
        let mut rest = self.clone();
        let mut left = rest.left.saturating_sub(u64::from(rest.first));
        while left > 0 {
            rest.open(bytes)?;
            if rest.at > bytes.len() {
                return Err(CUT.into());
            }
            // What is of no width takes no bytes, so that nothing but the count would end it.
            left = left.saturating_sub(rest.size);
        }
        Ok(rest.at)
    }
}
