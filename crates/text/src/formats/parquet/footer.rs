//! A file's footer: its schema, and where the chunks of each group of rows lie.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::Read;
use super::schema::{Element, Schema};
use super::thrift::{TRUE, Thrift};

/// What a file begins and ends with.
pub const MAGIC: &[u8; 4] = b"PAR1";

/// Bytes that a footer may have, columns, and rows.
const LARGEST: u64 = 64 << 20;
const MOST_COLUMNS: usize = 10_000;
const MOST_ROWS: u64 = 10_000_000_000;

#[derive(Debug)]
pub struct Footer {
    pub schema: Schema,
    pub groups: Vec<Group>,
}

/// A group of rows, with a chunk for each of the schema's leaves.
#[derive(Debug, Default)]
pub struct Group {
    pub rows: u64,
    pub chunks: Vec<Chunk>,
}

/// The values of one leaf in a group: pages one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunk {
    pub codec: i64,
    pub start: u64,
    pub length: u64,
}

impl Footer {
    /// Reads the footer at a file's end.
    ///
    /// # Errors
    /// No Parquet file, an encrypted one, or a footer that says what cannot be.
    pub fn read(file: &mut File, size: u64) -> Read<Self> {
        let cut = "not a whole Parquet file: it does not end with PAR1; fetch or write it again";
        if size < 12 {
            return Err(cut.into());
        }
        let mut tail = [0; 8];
        read_at(file, size - 8, &mut tail)?;
        let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
        if &tail[4..] == b"PARE" {
            return Err("an encrypted Parquet file; write it without encryption".into());
        }
        if &tail[4..] != MAGIC {
            return Err(cut.into());
        }
        if length > LARGEST || length > size - 12 {
            return Err(format!(
                "the Parquet footer says that it has {length} bytes, of which the file has {size}; footers of up to \
                 {LARGEST} are read"
            ));
        }
        let mut bytes = vec![0; length as usize];
        read_at(file, size - 8 - length, &mut bytes)?;
        let footer = Self::parse(&bytes).map_err(|error| format!("the Parquet footer: {error}"))?;
        footer
            .check(size)
            .map_err(|error| format!("the Parquet footer: {error}"))?;
        Ok(footer)
    }

    fn parse(bytes: &[u8]) -> Read<Self> {
        let (mut elements, mut groups) = (Vec::new(), Vec::new());
        Thrift::new(bytes).fields(|it, field, kind| match field {
            2 => it.list(|it, _| {
                elements.push(Element::read(it)?);
                match elements.len() > 4 * MOST_COLUMNS {
                    true => Err(format!("more than {MOST_COLUMNS} columns")),
                    false => Ok(()),
                }
            }),
            4 => it.list(|it, _| {
                groups.push(Group::read(it)?);
                Ok(())
            }),
            8 => Err("an encrypted Parquet file; write it without encryption".into()),
            _ => it.skip(kind),
        })?;
        let schema = Schema::of(&elements)?;
        if schema.leaves > MOST_COLUMNS {
            return Err(format!("more than {MOST_COLUMNS} columns"));
        }
        Ok(Self { schema, groups })
    }

    /// Whether all that it names lies within the file.
    fn check(&self, size: u64) -> Read<()> {
        let mut rows = 0_u64;
        for (at, group) in self.groups.iter().enumerate() {
            rows = rows.saturating_add(group.rows);
            let (expected, found) = (self.schema.leaves, group.chunks.len());
            if expected != found {
                return Err(format!(
                    "row group {at} has {found} columns where the schema has {expected}"
                ));
            }
            let outside = |chunk: &&Chunk| {
                let end = chunk.start.checked_add(chunk.length);
                chunk.length > 0 && end.is_none_or(|end| chunk.start < 4 || end > size - 8)
            };
            if let Some(chunk) = group.chunks.iter().find(outside) {
                return Err(format!(
                    "row group {at} has {} bytes at {}, which the file of {size} does not hold",
                    chunk.length, chunk.start
                ));
            }
        }
        match rows > MOST_ROWS {
            true => Err(format!("{rows} rows; up to {MOST_ROWS} are read")),
            false => Ok(()),
        }
    }
}

impl Group {
    fn read(it: &mut Thrift<'_>) -> Read<Self> {
        let mut group = Self::default();
        it.fields(|it, field, kind| match field {
            1 => it.list(|it, _| {
                group.chunks.push(Chunk::read(it)?);
                Ok(())
            }),
            3 => it.count().map(|rows| group.rows = rows),
            _ => it.skip(kind),
        })?;
        Ok(group)
    }
}

impl Chunk {
    fn read(it: &mut Thrift<'_>) -> Read<Self> {
        let mut chunk = Self::default();
        let (mut data, mut dictionary) = (0, 0);
        it.fields(|it, field, kind| match field {
            1 => match it.binary()? {
                [] => Ok(()),
                _ => Err("its data lies in other files, which are not read".into()),
            },
            3 => it.fields(|it, field, kind| match field {
                4 => it.int().map(|codec| chunk.codec = codec),
                7 => it.count().map(|length| chunk.length = length),
                9 => it.count().map(|at| data = at),
                11 => it.count().map(|at| dictionary = at),
                _ => it.skip(kind),
            }),
            8 => Err("an encrypted column; write the file without encryption".into()),
            _ => it.skip(kind),
        })?;
        chunk.start = match dictionary > 0 && (dictionary < data || data == 0) {
            true => dictionary,
            false => data,
        };
        Ok(chunk)
    }
}

/// A truth value that is a field.
pub fn truth(kind: u8) -> bool {
    kind == TRUE
}

/// Fills `bytes` from a place of the file.
pub fn read_at(mut file: &File, at: u64, bytes: &mut [u8]) -> Read<()> {
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.read_exact(bytes))
        .map_err(|error| format!("cannot be read at byte {at}: {error}"))
}
