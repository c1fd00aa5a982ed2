//! A model's tensors under llama.cpp's names, in its layout, and in the types that it reads.

use anyhow::{Context as _, Result, ensure};
use half::f16;

use super::container::{BLOCK, Head, Kind};
use crate::model::config::{DecoderConfig, Positions, Rotary, RotaryScaling};
use crate::model::hf::{Checkpoint, Slot, slots};

const POSITIONS: &str = "position_embd.weight";

/// The type of matrices; what has one dimension is F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    F16,
    /// Eight bits a number, and a scale for 32 of a row.
    Q8_0,
}

impl Encoding {
    /// What the file calls itself.
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q8_0 => 7,
        }
    }

    /// The kind of a tensor of this name and shape.
    fn kind(self, name: &str, shape: &[usize]) -> Kind {
        match (shape, self) {
            // llama.cpp adds positions in this type alone.
            _ if name == POSITIONS => Kind::F32,
            ([_], _) => Kind::F32,
            ([.., row], Self::Q8_0) if row.is_multiple_of(BLOCK) => Kind::Q8_0,
            _ => Kind::F16,
        }
    }
}

/// One tensor of the file.
struct Tensor {
    head: Head,
    /// Columns of its slot that it holds, and whether these are stored as rows.
    columns: std::ops::Range<usize>,
    transpose: bool,
    /// Whether the halves of each head take turns, as llama.cpp rotates neighbours where transformers rotates halves.
    turned: bool,
}

/// All tensors, in the order in which they are written.
pub(super) struct Tensors {
    encoding: Encoding,
    slots: Vec<(Slot, Vec<Tensor>)>,
    /// What Llama 3's scaling divides each frequency by.
    frequencies: Option<Vec<f32>>,
}

impl Tensors {
    pub(super) fn of(
        config: &DecoderConfig,
        architecture: &str,
        encoding: Encoding,
    ) -> Result<Self> {
        let slots = slots(config).into_iter().map(|slot| {
            let tensors = tensors(&slot, architecture, encoding)?;
            Ok((slot, tensors))
        });
        Ok(Self {
            encoding,
            slots: slots.collect::<Result<_>>()?,
            frequencies: frequencies(&config.positions, config.head_dim),
        })
    }

    /// Their heads.
    pub(super) fn heads(&self) -> Vec<Head> {
        let frequencies = self.frequencies.as_ref().map(|values| Head {
            name: "rope_freqs.weight".into(),
            shape: vec![values.len()],
            kind: Kind::F32,
        });
        let tensors = self.slots.iter().flat_map(|(_, tensors)| tensors);
        frequencies
            .into_iter()
            .chain(tensors.map(|it| it.head.clone()))
            .collect()
    }

    /// How many cannot be stored as asked.
    pub(super) fn plain(&self) -> usize {
        let tensors = self.slots.iter().flat_map(|(_, tensors)| tensors);
        let plain = |it: &&Tensor| it.head.kind == Kind::F16;
        match self.encoding {
            Encoding::F16 => 0,
            Encoding::Q8_0 => tensors.filter(plain).count(),
        }
    }

    /// Gives each one's bytes.
    pub(super) fn each(
        &self,
        config: &DecoderConfig,
        checkpoint: &Checkpoint,
        mut give: impl FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if let Some(values) = &self.frequencies {
            give("rope_freqs.weight", &encode(values, Kind::F32)?)?;
        }
        for (slot, tensors) in &self.slots {
            let values = checkpoint.read(slot).with_context(|| slot.name.clone())?;
            let width = slot.shape.last().copied().unwrap_or(1).max(1);
            for tensor in tensors {
                let own = tensor.values(&values, width, config.head_dim);
                let bytes = encode(&own, tensor.head.kind);
                give(
                    &tensor.head.name,
                    &bytes.with_context(|| tensor.head.name.clone())?,
                )?;
            }
        }
        Ok(())
    }
}

impl Tensor {
    /// What it holds of its slot's values, whose rows have `width`.
    fn values(&self, values: &[f32], width: usize, head_dim: usize) -> Vec<f32> {
        let rows = values.len() / width;
        let columns = self.columns.clone();
        if !self.transpose {
            let rows = values
                .chunks_exact(width)
                .flat_map(|row| &row[columns.clone()]);
            let mut own: Vec<f32> = rows.copied().collect();
            if self.turned {
                own = (0..own.len())
                    .map(|at| own[self.row(at, head_dim)])
                    .collect();
            }
            return own;
        }
        let mut own = Vec::with_capacity(rows * columns.len());
        for at in 0..columns.len() {
            let column = columns.start + self.row(at, head_dim);
            own.extend((0..rows).map(|row| values[row * width + column]));
        }
        own
    }

    /// Which output of ours stands at place `at`.
    fn row(&self, at: usize, head_dim: usize) -> usize {
        if !self.turned {
            return at;
        }
        let (head, within) = (at / head_dim, at % head_dim);
        head * head_dim + within % 2 * (head_dim / 2) + within / 2
    }
}

/// The tensors of a slot.
fn tensors(slot: &Slot, architecture: &str, encoding: Encoding) -> Result<Vec<Tensor>> {
    let width = slot.shape.last().copied().unwrap_or_default();
    let inputs = &slot.shape[..slot.shape.len() - 1];
    let tensor = |name: String, columns: std::ops::Range<usize>, turned: bool, table: bool| {
        let shape: Vec<usize> = match table {
            true => slot.shape.clone(),
            false => std::iter::once(columns.len())
                .chain(inputs.iter().copied())
                .collect(),
        };
        Tensor {
            head: Head {
                kind: encoding.kind(&name, &shape),
                name,
                shape,
            },
            columns,
            transpose: !table && !inputs.is_empty(),
            turned,
        }
    };
    let whole = |name: &str| Ok(vec![tensor(name.to_owned(), 0..width, false, true)]);
    match slot.name.as_str() {
        "embed" => return whole("token_embd.weight"),
        "positions" => return whole(POSITIONS),
        "head" => return whole("output.weight"),
        "norm.weight" => return whole("output_norm.weight"),
        "norm.bias" => return whole("output_norm.bias"),
        _ => {}
    }
    let name = slot
        .name
        .strip_prefix("blocks.")
        .and_then(|it| it.split_once('.'));
    let parts = name.and_then(|(block, name)| Some((block, name.split_once('.')?)));
    let (block, (part, kind)) = parts.with_context(|| format!("no place for {}", slot.name))?;
    let turned = architecture == "llama";
    let names: &[(&str, bool)] = match (part, slot.parts.len()) {
        ("attn_norm", 1) => &[("attn_norm", false)],
        ("mlp_norm", 1) => &[("ffn_norm", false)],
        ("qkv", 1) => &[("attn_qkv", false)],
        ("qkv", 3) => &[("attn_q", turned), ("attn_k", turned), ("attn_v", false)],
        ("out", 1) => &[("attn_output", false)],
        ("up", 1) => &[("ffn_up", false)],
        ("up", 2) => &[("ffn_gate", false), ("ffn_up", false)],
        ("down", 1) => &[("ffn_down", false)],
        _ => &[],
    };
    ensure!(!names.is_empty(), "no place for {}", slot.name);
    let parts = slot.parts.iter().zip(names);
    let all = parts.map(|(part, (name, turned))| {
        let name = format!("blk.{block}.{name}.{kind}");
        tensor(name, part.columns.clone(), *turned, false)
    });
    Ok(all.collect())
}

/// What llama.cpp divides each frequency by, where Llama 3's scaling says so.
fn frequencies(positions: &Positions, head_dim: usize) -> Option<Vec<f32>> {
    let Positions::Rotary(rotary) = positions else {
        return None;
    };
    if !matches!(rotary.scaling, Some(RotaryScaling::Llama3 { .. })) {
        return None;
    }
    let plain = Rotary::plain(rotary.theta).frequencies(head_dim, false);
    let scaled = rotary.frequencies(head_dim, false);
    let both = plain.iter().zip(scaled);
    Some(both.map(|(plain, scaled)| plain / scaled).collect())
}

/// Numbers as a kind stores them.
fn encode(values: &[f32], kind: Kind) -> Result<Vec<u8>> {
    let narrow = |value: f32| {
        let narrow = f16::from_f32(value);
        ensure!(
            narrow.is_finite(),
            "{value} is too large for 16 bits (65504 at most)"
        );
        Ok(narrow.to_le_bytes())
    };
    match kind {
        Kind::F32 => Ok(values.iter().flat_map(|it| it.to_le_bytes()).collect()),
        Kind::F16 => {
            let mut bytes = Vec::with_capacity(2 * values.len());
            for value in values {
                bytes.extend(narrow(*value)?);
            }
            Ok(bytes)
        }
        Kind::Q8_0 => {
            let mut bytes = Vec::with_capacity(values.len() / BLOCK * (BLOCK + 2));
            for block in values.chunks_exact(BLOCK) {
                let most = block.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
                let scale = most / 127.0;
                let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
                bytes.extend(narrow(scale)?);
                bytes.extend(block.iter().map(|it| (it * inverse).round() as i8 as u8));
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_take_turns_within_each_head() {
        let tensor = Tensor {
            head: Head {
                name: String::new(),
                shape: Vec::new(),
                kind: Kind::F32,
            },
            columns: 1..9,
            transpose: true,
            turned: true,
        };
        // Two inputs; the eight outputs from column 1 on belong to two heads of four features.
        let values: Vec<f32> = (0..20).map(|it| it as f32).collect();
        let own = tensor.values(&values, 10, 4);
        let first: Vec<f32> = own.chunks(2).map(|row| row[0]).collect();
        assert_eq!(first, [1.0, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0, 8.0]);
        assert!(own.chunks(2).all(|row| row[1] == row[0] + 10.0));
        let bias = Tensor {
            transpose: false,
            ..tensor
        };
        assert_eq!(bias.values(&values[..10], 10, 4), first);
    }

    #[test]
    fn numbers_have_the_bytes_of_their_kind() {
        assert_eq!(encode(&[1.0, -2.0], Kind::F16).unwrap(), [0, 0x3c, 0, 0xc0]);
        assert!(encode(&[1e6], Kind::F16).is_err());
        let mut block = [0.0; 32];
        (block[0], block[1], block[2]) = (-127.0, 63.5, 0.4);
        let bytes = encode(&block, Kind::Q8_0).unwrap();
        assert_eq!(bytes[..6], [0, 0x3c, 0x81, 64, 0, 0]);
        assert_eq!(bytes.len(), 34);
        assert_eq!(encode(&[0.0; 32], Kind::Q8_0).unwrap(), [0; 34]);
        assert!(encode(&[9e6; 32], Kind::Q8_0).is_err());
    }
}
