//! The pages of a column's chunk, decompressed one by one.

use std::fs::File;
use std::sync::Arc;

use super::Read;
use super::codec::decompress;
use super::footer::{Chunk, read_at, truth};
use super::thrift::Thrift;
use crate::formats::bounds::Expanded;

/// Bytes of a page once decompressed.
const LARGEST: u64 = 256 << 20;

/// Bytes of a page's header, which holds two values of the page: what is looked at first, and at most.
const HEADER: (u64, u64) = (256, 16 << 20);

/// A page of values, or the dictionary of those that follow.
#[derive(Debug)]
pub enum Page {
    Dictionary { bytes: Vec<u8>, count: usize },
    Data(Data),
}

/// A page of values. Its levels come first in `bytes`: of repetition, then of definition.
#[derive(Debug, Default)]
pub struct Data {
    pub bytes: Vec<u8>,
    /// Values, those that are absent among them.
    pub count: u64,
    pub encoding: i64,
    /// Bytes of the levels of repetition and of definition; where it is nothing, each says it itself.
    pub levels: Option<(usize, usize)>,
    /// The encodings of the levels of definition and of repetition; nothing where there is only one.
    pub encodings: [Option<i64>; 2],
}

/// Reads the pages of a chunk.
#[derive(Debug)]
pub struct Pages {
    file: Arc<File>,
    codec: i64,
    at: u64,
    end: u64,
    /// What all columns of the file have been expanded to.
    expanded: Arc<Expanded>,
}

#[derive(Default)]
struct Header {
    kind: i64,
    whole: u64,
    packed: u64,
    data: Data,
    compressed: bool,
}

impl Pages {
    pub fn new(file: Arc<File>, chunk: Chunk, expanded: Arc<Expanded>) -> Self {
        Self {
            file,
            codec: chunk.codec,
            at: chunk.start,
            end: chunk.start + chunk.length,
            expanded,
        }
    }

    /// The next page; none at the chunk's end.
    pub fn next(&mut self) -> Read<Option<Page>> {
        while self.at < self.end {
            let header = self.header()?;
            if header.packed > self.end - self.at {
                return Err("a page is larger than its column".into());
            }
            if header.whole > LARGEST || header.packed > LARGEST {
                let whole = header.whole.max(header.packed);
                return Err(format!(
                    "a page of {whole} bytes; pages of up to {LARGEST} are read"
                ));
            }
            let mut packed = vec![0; header.packed as usize];
            read_at(&self.file, self.at, &mut packed)?;
            self.at += header.packed;
            self.expanded.add(header.packed, header.whole)?;
            if let Some(page) = self.page(header, packed)? {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn page(&self, header: Header, packed: Vec<u8>) -> Read<Option<Page>> {
        let whole = header.whole as usize;
        let mut data = header.data;
        Ok(match header.kind {
            0 => {
                data.bytes = decompress(self.codec, packed, whole)?;
                Some(Page::Data(data))
            }
            2 => {
                let bytes = decompress(self.codec, packed, whole)?;
                let count = data.count as usize;
                // 0 is PLAIN, which 2 was the name of in dictionaries.
                match data.encoding {
                    0 | 2 => Some(Page::Dictionary { bytes, count }),
                    other => return Err(format!("a dictionary in encoding {other}")),
                }
            }
            3 => {
                let (repeated, defined) = data.levels.unwrap_or_default();
                let levels = repeated.checked_add(defined);
                let levels = levels.filter(|it| *it <= packed.len() && *it <= whole);
                let levels = levels.ok_or("a page is shorter than its levels")?;
                data.bytes = match header.compressed {
                    true => {
                        let mut bytes = packed[..levels].to_vec();
                        bytes.extend(decompress(
                            self.codec,
                            packed[levels..].to_vec(),
                            whole - levels,
                        )?);
                        bytes
                    }
                    false => packed,
                };
                Some(Page::Data(data))
            }
            // An index, which is of no use here, or what is not known yet.
            _ => None,
        })
    }

    fn header(&mut self) -> Read<Header> {
        let left = self.end - self.at;
        let (mut window, most) = HEADER;
        loop {
            let mut bytes = vec![0; window.min(left) as usize];
            read_at(&self.file, self.at, &mut bytes)?;
            let mut thrift = Thrift::new(&bytes);
            match Header::read(&mut thrift) {
                Ok(header) => {
                    self.at += thrift.at() as u64;
                    return Ok(header);
                }
                // It may go on after what was looked at.
                Err(_) if window < left && window < most => window *= 8,
                Err(error) => return Err(format!("the header of a page: {error}")),
            }
        }
    }
}

impl Header {
    fn read(it: &mut Thrift<'_>) -> Read<Self> {
        let mut header = Self {
            kind: -1,
            compressed: true,
            ..Self::default()
        };
        it.fields(|it, field, kind| match field {
            1 => it.int().map(|kind| header.kind = kind),
            2 => it.count().map(|size| header.whole = size),
            3 => it.count().map(|size| header.packed = size),
            5 | 7 => it.fields(|it, field, kind| {
                match field {
                    1 => header.data.count = it.count()?,
                    2 => header.data.encoding = it.int()?,
                    3 | 4 if header.kind == 0 => {
                        header.data.encodings[field as usize - 3] = Some(it.int()?);
                    }
                    _ => it.skip(kind)?,
                }
                Ok(())
            }),
            8 => {
                let mut levels = (0, 0);
                it.fields(|it, field, kind| {
                    match field {
                        1 => header.data.count = it.count()?,
                        4 => header.data.encoding = it.int()?,
                        5 => levels.1 = it.count()? as usize,
                        6 => levels.0 = it.count()? as usize,
                        7 => header.compressed = truth(kind),
                        _ => it.skip(kind)?,
                    }
                    Ok(())
                })?;
                header.data.levels = Some(levels);
                Ok(())
            }
            _ => it.skip(kind),
        })?;
        match header.kind {
            -1 => Err("it has no type".into()),
            _ => Ok(header),
        }
    }
}
