//! The one door to files of rows: JSON Lines, lists of JSON objects, tables of cells (CSV) and Parquet, the first three
//! also compressed with gzip or zstd. What a file is shows in its first bytes, and in its name where those leave it open.
//!
//! Rows come one by one, so that no file is held.

mod bounds;
mod csv;
mod item;
pub mod json;
#[cfg(feature = "parquet")]
mod parquet;
pub mod shards;
#[cfg(test)]
mod tests;
mod text;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bounds::{Counted, Within};
use rapport_store::{BadInput, regular};

use crate::lines::BadLines;

pub use csv::csv_rows;
pub use item::{Columns, Format, Item, Raw, Row};

/// A file's rows in order. An error among them ends them.
pub struct Opened {
    pub format: Format,
    pub items: Box<dyn Iterator<Item = Result<Item>>>,
}

/// Opens a file of rows. Columns that are not named may be `true` in place of what they hold.
///
/// # Errors
/// A file that cannot be read, or is in another format, with what to do about it.
pub fn open(path: &Path, columns: Columns<'_>) -> Result<Opened> {
    regular(path)?;
    let context = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut magic = Vec::new();
    (&file)
        .take(6)
        .read_to_end(&mut magic)
        .with_context(context)?;
    file.rewind().with_context(context)?;
    let (name, ending) = endings(path);
    if let Some(other) = other(&magic, &ending) {
        return Err(BadInput(format!("{}: {other}", path.display())).into());
    }
    if magic.starts_with(b"PAR1") || ending == "parquet" {
        return parquet(path, columns);
    }
    let packed = Arc::default();
    let counted = BufReader::new(Counted {
        inner: file,
        count: Arc::clone(&packed),
    });
    let within = |inner: Box<dyn Read>| -> Box<dyn Read> {
        Box::new(Within {
            inner,
            packed: packed.clone(),
            whole: 0,
        })
    };
    let (input, ending): (Box<dyn Read>, _) = if magic.starts_with(b"\x1f\x8b") {
        (
            within(Box::new(flate2::bufread::MultiGzDecoder::new(counted))),
            endings(&name).1,
        )
    } else if magic.starts_with(b"\x28\xb5\x2f\xfd") {
        (within(zstd(counted, path)?), endings(&name).1)
    } else {
        (Box::new(counted), ending)
    };
    text(BufReader::with_capacity(1 << 16, input), path, &ending)
}

/// Rows that are text, of whichever kind the first letter says.
fn text(mut input: BufReader<Box<dyn Read>>, path: &Path, ending: &str) -> Result<Opened> {
    let damaged =
        |error: std::io::Error| BadInput(format!("cannot read {}: {error}", path.display()));
    if input
        .fill_buf()
        .map_err(damaged)?
        .starts_with(b"\xef\xbb\xbf")
    {
        input.consume(3);
    }
    let begin = input.buffer().trim_ascii_start().first();
    let format = match begin {
        Some(b'[') => Format::List,
        Some(b'{') => Format::JsonLines,
        _ if ["jsonl", "json", "ndjson"].contains(&ending) => Format::JsonLines,
        _ => Format::Table,
    };
    let path = path.to_owned();
    let items: Box<dyn Iterator<Item = Result<Item>>> = match format {
        Format::List => Box::new(text::List::new(input, path)),
        Format::Table => Box::new(text::Table::new(input, &path)?),
        _ => Box::new(text::JsonLines {
            input,
            path,
            line: 0,
        }),
    };
    Ok(Opened { format, items })
}

/// A path without its last ending, and that ending in small letters.
fn endings(path: &Path) -> (std::path::PathBuf, String) {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    (path.with_extension(""), ending.to_lowercase())
}

/// What is said of a format that is not read.
fn other(magic: &[u8], ending: &str) -> Option<&'static str> {
    const ARROW: &str = "an Arrow file, which is not read; write it as Parquet with: python -c \"import datasets; \
                         datasets.load_from_disk('FOLDER').to_parquet('OUT.parquet')\"";
    const PACKED: &str =
        "compressed in a way that is not read; unpack it, or compress it with gzip or zstd";
    match magic {
        [b'A', b'R', b'R', b'O', b'W', ..] | [255, 255, 255, 255, ..] => Some(ARROW),
        [b'P', b'K', 3, 4, ..]
        | [b'B', b'Z', b'h', ..]
        | [253, b'7', b'z', ..]
        | [b'7', b'z', 188, ..] => Some(PACKED),
        [b'P', b'A', b'R', b'E', ..] => {
            Some("an encrypted Parquet file; write it without encryption")
        }
        _ if ending == "arrow" => Some(ARROW),
        _ => None,
    }
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, columns: Columns<'_>) -> Result<Opened> {
    Ok(Opened {
        format: Format::Parquet,
        items: Box::new(parquet::Rows::open(path, columns)?),
    })
}

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path, _: Columns<'_>) -> Result<Opened> {
    Err(unbuilt(path, "Parquet"))
}

#[cfg(feature = "parquet")]
fn zstd<'a>(input: impl BufRead + 'a, path: &Path) -> Result<Box<dyn Read + 'a>> {
    let decoder = zstd::stream::read::Decoder::with_buffer(input);
    let decoder = decoder.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(decoder))
}

#[cfg(not(feature = "parquet"))]
fn zstd<'a>(_: impl BufRead + 'a, path: &Path) -> Result<Box<dyn Read + 'a>> {
    Err(unbuilt(path, "zstd"))
}

#[cfg(not(feature = "parquet"))]
fn unbuilt(path: &Path, what: &str) -> anyhow::Error {
    BadInput(format!(
        "{}: this build reads no {what}; build with: cargo build --features parquet (make: WITH=parquet)",
        path.display()
    ))
    .into()
}

/// Hands every row of a file, of which all columns are read, to `take` with its number. What is wrong with a row is added
/// to `bad`; no more are read once that is full.
///
/// # Errors
/// As [`open`].
pub(super) fn each(
    path: &Path,
    bad: &mut BadLines,
    mut take: impl FnMut(usize, Row) -> Result<(), String>,
) -> Result<Format> {
    let Opened { format, items } = open(path, Columns::All)?;
    bad.turn(path, format.unit());
    for item in items {
        let Item { number, raw, .. } = item?;
        let row = raw.and_then(|raw| format.row(raw));
        if let Err(message) = row.and_then(|row| take(number, row)) {
            bad.add(number, message);
        }
        if bad.is_full() {
            break;
        }
    }
    Ok(format)
}
