//! Stored values on their way into our layout: converted, turned and checked in one pass, with no copy between.

use half::vec::HalfBitsVecExt as _;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

/// Values of a work item.
const CHUNK: usize = 1 << 16;

/// Side of the tiles in which a matrix is turned, so that both sides stay in cache.
const TILE: usize = 32;

/// A type that parameters are held in.
pub trait Held: Copy + Default + Send + Sync + 'static {
    /// So many zeros, in pages that the system clears when they are first written to.
    fn zeros(count: usize) -> Vec<Self>;

    /// The nearest value of this type.
    fn of(value: f32) -> Self;
}

impl Held for f32 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0.0; count]
    }

    fn of(value: f32) -> Self {
        value
    }
}

impl Held for bf16 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0u16; count].reinterpret_into()
    }

    fn of(value: f32) -> Self {
        bf16::from_f32(value)
    }
}

/// A type that values are stored in, little end first.
trait Stored {
    const BYTES: usize;

    fn value(bytes: &[u8]) -> f32;
}

impl Stored for f32 {
    const BYTES: usize = 4;

    fn value(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl Stored for bf16 {
    const BYTES: usize = 2;

    fn value(bytes: &[u8]) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16)
    }
}

impl Stored for f16 {
    const BYTES: usize = 2;

    fn value(bytes: &[u8]) -> f32 {
        f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }
}

/// Where the values of a stored tensor belong in one of ours, whose rows have `width` values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub width: usize,
    /// The first column that it fills.
    pub start: usize,
    pub columns: usize,
    /// It is stored column by column.
    pub transpose: bool,
}

/// Writes stored values where they belong, and says whether all are finite.
pub(super) fn fill<T: Held>(out: &mut [T], place: Place, bytes: &[u8], dtype: Dtype) -> bool {
    match dtype {
        Dtype::BF16 => fill_from::<T, bf16>(out, place, bytes),
        Dtype::F16 => fill_from::<T, f16>(out, place, bytes),
        _ => fill_from::<T, f32>(out, place, bytes),
    }
}

/// Stored values as they lie.
pub(super) fn values(bytes: &[u8], dtype: Dtype) -> Vec<f32> {
    let count = match dtype {
        Dtype::BF16 | Dtype::F16 => bytes.len() / 2,
        _ => bytes.len() / 4,
    };
    let mut values = f32::zeros(count);
    let place = Place {
        width: count,
        start: 0,
        columns: count,
        transpose: false,
    };
    fill(&mut values, place, bytes, dtype);
    values
}

/// Bytes of one value of a type that is read.
pub(super) fn width(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::F32 => Some(4),
        Dtype::BF16 | Dtype::F16 => Some(2),
        _ => None,
    }
}

/// The first value that is not finite, and its place among the stored ones.
pub(super) fn not_finite(bytes: &[u8], dtype: Dtype) -> Option<(usize, f32)> {
    fn find<S: Stored>(bytes: &[u8]) -> Option<(usize, f32)> {
        let values = bytes.chunks_exact(S::BYTES).map(S::value);
        values.enumerate().find(|(_, value)| !value.is_finite())
    }
    match dtype {
        Dtype::BF16 => find::<bf16>(bytes),
        Dtype::F16 => find::<f16>(bytes),
        _ => find::<f32>(bytes),
    }
}

fn fill_from<T: Held, S: Stored>(out: &mut [T], place: Place, bytes: &[u8]) -> bool {
    let Place {
        width,
        start,
        columns,
        transpose,
    } = place;
    if out.is_empty() {
        return true;
    }
    if !transpose && columns == width {
        let stored = bytes.par_chunks(CHUNK * S::BYTES);
        let pairs = out.par_chunks_mut(CHUNK).zip(stored);
        return pairs
            .map(|(out, bytes)| convert::<T, S>(out, bytes))
            .reduce(|| true, |one, other| one & other);
    }
    let rows = out.len() / width;
    let bands = out.par_chunks_mut(TILE * width).enumerate();
    let band = |(band, out): (usize, &mut [T])| {
        let first = band * TILE;
        if transpose {
            return turn::<T, S>(out, place, bytes, (first, rows));
        }
        let mut finite = true;
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let from = (first + row) * columns * S::BYTES;
            let bytes = &bytes[from..from + columns * S::BYTES];
            finite &= convert::<T, S>(&mut out[start..start + columns], bytes);
        }
        finite
    };
    bands.map(band).reduce(|| true, |one, other| one & other)
}

/// Some whole rows of ours, from `first` of `rows` on, out of values that are stored column by column.
fn turn<T: Held, S: Stored>(
    out: &mut [T],
    place: Place,
    bytes: &[u8],
    (first, rows): (usize, usize),
) -> bool {
    let Place {
        width,
        start,
        columns,
        ..
    } = place;
    let height = out.len() / width;
    let mut tile = [[T::default(); TILE]; TILE];
    let mut finite = true;
    for from in (0..columns).step_by(TILE) {
        let wide = TILE.min(columns - from);
        for (column, tile) in (from..).zip(&mut tile[..wide]) {
            let at = (column * rows + first) * S::BYTES;
            let bytes = &bytes[at..at + height * S::BYTES];
            finite &= convert::<T, S>(&mut tile[..height], bytes);
        }
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            for (value, column) in out[start + from..][..wide].iter_mut().zip(&tile) {
                *value = column[row];
            }
        }
    }
    finite
}

/// Converts values in their order, and says whether all are finite.
fn convert<T: Held, S: Stored>(out: &mut [T], bytes: &[u8]) -> bool {
    let mut largest = 0u32;
    for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(S::BYTES)) {
        let stored = S::value(bytes);
        // Without its sign, what is not finite has larger bits than all that is.
        largest = largest.max(stored.to_bits() & 0x7fff_ffff);
        *value = T::of(stored);
    }
    largest < 0x7f80_0000
}
