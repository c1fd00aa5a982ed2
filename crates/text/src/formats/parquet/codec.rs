//! Pages as they were before they were compressed, never longer than they were said to be.

use std::io::Read as _;

use super::Read;

/// Decompresses a page of `whole` bytes.
///
/// # Errors
/// Damaged data, of another length, or in a codec that is not known.
pub fn decompress(codec: i64, packed: Vec<u8>, whole: usize) -> Read<Vec<u8>> {
    if codec == 0 {
        return match packed.len() == whole {
            true => Ok(packed),
            false => Err(format!(
                "a page of {} bytes where {whole} were expected",
                packed.len()
            )),
        };
    }
    // A page without values need not be written at all.
    if whole == 0 {
        return Ok(Vec::new());
    }
    let name = match codec {
        1 => "snappy",
        2 => "gzip",
        4 => "brotli",
        5 | 7 => "lz4",
        6 => "zstd",
        3 => return Err("compressed with LZO, which is not read; write it with zstd".into()),
        other => return Err(format!("compressed with codec {other}, which is not known")),
    };
    let found = match codec {
        1 => snappy(&packed, whole),
        2 => upto(flate2::read::MultiGzDecoder::new(&packed[..]), whole),
        4 => upto(
            brotli_decompressor::Decompressor::new(&packed[..], 4096),
            whole,
        ),
        5 => hadoop(&packed, whole),
        6 => zstd::stream::read::Decoder::with_buffer(&packed[..])
            .ok()
            .and_then(|it| upto(it, whole)),
        _ => lz4(&packed, whole),
    };
    found
        .filter(|found| found.len() == whole)
        .ok_or_else(|| format!("damaged {name} data in a page"))
}

/// All that a reader gives, and one byte over `whole` at most.
fn upto(reader: impl std::io::Read, whole: usize) -> Option<Vec<u8>> {
    let mut found = Vec::with_capacity(whole.min(1 << 20));
    let taken = reader.take(whole as u64 + 1).read_to_end(&mut found);
    taken.is_ok().then_some(found)
}

fn snappy(packed: &[u8], whole: usize) -> Option<Vec<u8>> {
    if snap::raw::decompress_len(packed).ok()? != whole {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(packed).ok()
}

fn lz4(packed: &[u8], whole: usize) -> Option<Vec<u8>> {
    lz4_flex::block::decompress(packed, whole).ok()
}

/// Blocks with their lengths in front, as Hadoop writes them; others that call themselves so write one block alone.
fn hadoop(packed: &[u8], whole: usize) -> Option<Vec<u8>> {
    let blocks = || {
        let (mut rest, mut found) = (packed, Vec::new());
        while !rest.is_empty() {
            let length = |at: usize| {
                let bytes = rest.get(at..at + 4)?.try_into().ok()?;
                Some(u32::from_be_bytes(bytes) as usize)
            };
            let (long, short) = (length(0)?, length(4)?);
            if long > whole - found.len() {
                return None;
            }
            found.extend(lz4(rest.get(8..)?.get(..short)?, long)?);
            rest = &rest[8 + short..];
        }
        Some(found)
    };
    blocks()
        .filter(|it| it.len() == whole)
        .or_else(|| lz4(packed, whole))
}
