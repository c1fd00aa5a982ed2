//! Weights in 8 or 4 bits, by blocks of inputs: what is never trained can be held so.

use rayon::prelude::*;

/// Values that share a scale, along a row of inputs.
const BLOCK: usize = 64;

/// What a weight is packed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// A signed byte, times the block's largest value over 127.
    Int8,
    /// One of 16 quantiles of a normal distribution, times the block's largest value (QLoRA, Dettmers et al.,
    /// arXiv 2305.14314, appendix E).
    Nf4,
}

/// The values of NF4, as bitsandbytes has them.
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// A matrix, `[out, in]`.
#[derive(Debug)]
pub struct Packed {
    shape: [usize; 2],
    packing: Packing,
    /// One byte a value, or two values a byte, the earlier in its upper half.
    codes: Vec<u8>,
    /// The largest absolute value of each block.
    largest: Vec<f32>,
}

impl Packed {
    /// Packs `[out, in]` row-major values.
    pub fn new(values: &[f32], shape: [usize; 2], packing: Packing) -> Self {
        let width = shape[1].max(1);
        let rows = values.par_chunks(width).map(|row| {
            let (mut codes, mut largest) = (Vec::new(), Vec::new());
            for block in row.chunks(BLOCK) {
                let most = block
                    .iter()
                    .fold(0.0f32, |most, value| most.max(value.abs()));
                let scale = if most > 0.0 { 1.0 / most } else { 0.0 };
                largest.push(most);
                match packing {
                    Packing::Int8 => {
                        let code = |value: &f32| (value * scale * 127.0).round() as i8 as u8;
                        codes.extend(block.iter().map(code));
                    }
                    Packing::Nf4 => codes.extend(block.chunks(2).map(|pair| {
                        let low = pair.get(1).map_or(0, |value| nearest(value * scale));
                        nearest(pair[0] * scale) << 4 | low
                    })),
                }
            }
            (codes, largest)
        });
        let (codes, largest): (Vec<_>, Vec<_>) = rows.unzip();
        Self {
            shape,
            packing,
            codes: codes.concat(),
            largest: largest.concat(),
        }
    }

    /// `[out, in]`
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The values that it stands for, row-major.
    pub fn values(&self) -> Vec<f32> {
        let width = self.shape[1].max(1);
        let blocks = width.div_ceil(BLOCK);
        let bytes = match self.packing {
            Packing::Int8 => width,
            Packing::Nf4 => (width / BLOCK) * (BLOCK / 2) + (width % BLOCK).div_ceil(2),
        };
        let mut values = vec![0.0; self.shape[0] * self.shape[1]];
        let rows = values.par_chunks_mut(width);
        let rows = rows.zip(self.codes.par_chunks(bytes.max(1)));
        rows.zip(self.largest.par_chunks(blocks))
            .for_each(|((row, codes), largest)| {
                let per_block = match self.packing {
                    Packing::Int8 => BLOCK,
                    Packing::Nf4 => BLOCK / 2,
                };
                let blocks = row.chunks_mut(BLOCK).zip(codes.chunks(per_block));
                for ((block, codes), largest) in blocks.zip(largest) {
                    match self.packing {
                        Packing::Int8 => {
                            let scale = largest / 127.0;
                            for (value, code) in block.iter_mut().zip(codes) {
                                *value = f32::from(*code as i8) * scale;
                            }
                        }
                        Packing::Nf4 => {
                            for (pair, code) in block.chunks_mut(2).zip(codes) {
                                let of = |code: u8| NF4[usize::from(code & 15)] * largest;
                                pair[0] = of(code >> 4);
                                if let Some(value) = pair.get_mut(1) {
                                    *value = of(*code);
                                }
                            }
                        }
                    }
                }
            });
        values
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.codes.len() + 4 * self.largest.len()
    }
}

/// The place of the nearest value of NF4.
fn nearest(value: f32) -> u8 {
    let above = NF4
        .windows(2)
        .take_while(|pair| value > 0.5 * (pair[0] + pair[1]));
    above.count() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_within_half_a_step() {
        let values: Vec<f32> = (0..3 * 130)
            .map(|at| ((at * 37) % 101) as f32 / 50.0 - 1.0)
            .collect();
        for (packing, within, bytes) in
            [(Packing::Int8, 0.5 / 127.0, 390), (Packing::Nf4, 0.16, 195)]
        {
            let packed = Packed::new(&values, [3, 130], packing);
            let found = packed.values();
            for (at, (found, value)) in found.iter().zip(&values).enumerate() {
                assert!(
                    (found - value).abs() <= within + 1e-6,
                    "{at}: {found}, {value}"
                );
            }
            // Three blocks a row: 64, 64 and 2 values.
            assert_eq!(packed.bytes(), bytes + 4 * 9);
        }
        let zeros = Packed::new(&[0.0; 64], [1, 64], Packing::Nf4);
        assert_eq!(zeros.values(), [0.0; 64]);
    }
}
