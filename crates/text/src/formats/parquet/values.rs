//! A page's values, in any of the encodings
//! (<https://github.com/apache/parquet-format/blob/master/Encodings.md>).

use super::Read;
use super::bits::{Deltas, Runs};
use super::schema::Physical;

const CUT: &str = "a page ends within its values";

/// A value as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    Bool(bool),
    Int(i64),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
}

/// The values that a column's pages point to.
#[derive(Debug, Default)]
pub struct Dictionary {
    bytes: Vec<u8>,
    /// Where each one lies.
    places: Vec<(u32, u32)>,
}

impl Dictionary {
    pub fn new(physical: Physical, bytes: Vec<u8>, count: usize) -> Read<Self> {
        if physical == Physical::Bool {
            return Err("a dictionary of truth values".into());
        }
        let mut places = Vec::new();
        let mut at = 0;
        // One by one: the count may be anything.
        for _ in 0..count {
            let (from, to) = plain(physical, &bytes, &mut at)?;
            places.push((from as u32, to as u32));
        }
        Ok(Self { bytes, places })
    }

    fn value(&self, physical: Physical, index: u32) -> Read<Scalar<'_>> {
        let place = self.places.get(index as usize);
        let (from, to) = *place
            .ok_or_else(|| format!("value {index} of a dictionary of {}", self.places.len()))?;
        scalar(physical, &self.bytes[from as usize..to as usize])
    }

    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<(u32, u32)>()
    }
}

/// Where the next value lies that is stored as it is.
fn plain(physical: Physical, bytes: &[u8], at: &mut usize) -> Read<(usize, usize)> {
    let length = match physical {
        Physical::Bool => return Err("truth values are packed".into()),
        Physical::Int32 | Physical::Float => 4,
        Physical::Int64 | Physical::Double => 8,
        Physical::Int96 => 12,
        Physical::Fixed(width) => width,
        Physical::Bytes => {
            let length = bytes.get(*at..*at + 4).ok_or(CUT)?;
            *at += 4;
            u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize
        }
    };
    let from = *at;
    *at = from
        .checked_add(length)
        .filter(|end| *end <= bytes.len())
        .ok_or(CUT)?;
    Ok((from, *at))
}

fn scalar(physical: Physical, bytes: &[u8]) -> Read<Scalar<'_>> {
    let four = || bytes.try_into().map_err(|_| CUT);
    let eight = || bytes.try_into().map_err(|_| CUT);
    Ok(match physical {
        Physical::Int32 => Scalar::Int(i32::from_le_bytes(four()?).into()),
        Physical::Int64 => Scalar::Int(i64::from_le_bytes(eight()?)),
        Physical::Float => Scalar::Float(f32::from_le_bytes(four()?)),
        Physical::Double => Scalar::Double(f64::from_le_bytes(eight()?)),
        Physical::Bool | Physical::Int96 | Physical::Bytes | Physical::Fixed(_) => {
            Scalar::Bytes(bytes)
        }
    })
}

/// Reads the values of a page one by one. Places are within the page's bytes.
#[derive(Debug)]
pub enum Values {
    Plain(usize),
    /// Truth values, one a bit.
    Bits(u64),
    /// Truth values in runs.
    Truths(Runs),
    Indices(Runs),
    Deltas(Deltas),
    /// Lengths, then the bytes of all.
    Lengths(Deltas, usize),
    /// How much is as in the value before, and the lengths and bytes of the rest.
    Prefixes(Deltas, Deltas, usize, Vec<u8>),
    /// The first bytes of all, then the second ones; the number of values, and which is next.
    Split(usize, usize, Vec<u8>),
}

impl Values {
    /// Begins at a place of the page, which holds `count` values at most.
    pub fn new(physical: Physical, encoding: i64, bytes: &[u8], at: usize) -> Read<Self> {
        let text = matches!(physical, Physical::Bytes);
        let fixed = matches!(physical, Physical::Fixed(_));
        let whole = matches!(physical, Physical::Int32 | Physical::Int64);
        let left = bytes.len().saturating_sub(at);
        if left == 0 {
            // All are absent, or it ends early, which shows once one is read.
            return Ok(Self::Plain(at));
        }
        Ok(match encoding {
            0 if physical == Physical::Bool => Self::Bits(at as u64 * 8),
            0 => Self::Plain(at),
            2 | 8 => Self::Indices(Runs::new(bytes[at].into(), at + 1, bytes.len())?),
            // Their length stands in front.
            3 if physical == Physical::Bool => Self::Truths(Runs::new(1, at + 4, bytes.len())?),
            5 if whole => Self::Deltas(Deltas::new(bytes, at)?),
            6 if text => {
                let lengths = Deltas::new(bytes, at)?;
                let data = lengths.end(bytes)?;
                Self::Lengths(lengths, data)
            }
            7 if text || fixed => {
                let prefixes = Deltas::new(bytes, at)?;
                let lengths = Deltas::new(bytes, prefixes.end(bytes)?)?;
                let data = lengths.end(bytes)?;
                Self::Prefixes(prefixes, lengths, data, Vec::new())
            }
            9 => {
                let width = match physical {
                    Physical::Int32 | Physical::Float => 4,
                    Physical::Int64 | Physical::Double => 8,
                    Physical::Fixed(width) => width,
                    _ => return Err("split bytes of values that are not of one length".into()),
                };
                Self::Split(left / width, at, vec![0; width])
            }
            other => return Err(format!("values in encoding {other}, which is not read")),
        })
    }

    pub fn next<'a>(
        &'a mut self,
        physical: Physical,
        bytes: &'a [u8],
        dictionary: &'a Dictionary,
    ) -> Read<Scalar<'a>> {
        match self {
            Self::Plain(at) => {
                let (from, to) = plain(physical, bytes, at)?;
                scalar(physical, &bytes[from..to])
            }
            Self::Bits(bit) => {
                let byte = *bytes.get((*bit / 8) as usize).ok_or(CUT)?;
                let set = byte >> (*bit % 8) & 1 == 1;
                *bit += 1;
                Ok(Scalar::Bool(set))
            }
            Self::Truths(runs) => Ok(Scalar::Bool(runs.next(bytes)? != 0)),
            Self::Indices(runs) => dictionary.value(physical, runs.next(bytes)?),
            Self::Deltas(deltas) => {
                let value = deltas.next(bytes)?;
                Ok(Scalar::Int(match physical {
                    Physical::Int32 => i64::from(value as i32),
                    _ => value,
                }))
            }
            Self::Lengths(lengths, at) => {
                let text = taken(bytes, at, lengths.next(bytes)?)?;
                Ok(Scalar::Bytes(text))
            }
            Self::Prefixes(prefixes, lengths, at, last) => {
                let same = prefixes.next(bytes)?;
                let same = usize::try_from(same).ok().filter(|it| *it <= last.len());
                last.truncate(same.ok_or("a value begins with more than the one before it has")?);
                last.extend_from_slice(taken(bytes, at, lengths.next(bytes)?)?);
                scalar(physical, last)
            }
            Self::Split(count, at, value) => {
                for (index, byte) in value.iter_mut().enumerate() {
                    *byte = *bytes.get(*at + index * *count).ok_or(CUT)?;
                }
                *at += 1;
                scalar(physical, value)
            }
        }
    }
}

fn taken<'a>(bytes: &'a [u8], at: &mut usize, length: i64) -> Read<&'a [u8]> {
    let length = usize::try_from(length).map_err(|_| CUT)?;
    let end = at.checked_add(length).ok_or(CUT)?;
    let taken = bytes.get(*at..end).ok_or(CUT)?;
    *at = end;
    Ok(taken)
}
