//! How our parameter tensors map to those of a Hugging Face folder.
//!
//! Ours: linear weights are `[in, out]`; queries, keys and values are one matrix, and so are SwiGLU's
//! gate and up; the embedding and the head are `[vocab, hidden]` as there. Theirs: `nn.Linear` weights
//! are `[out, in]`, GPT-2's `Conv1D` weights `[in, out]`.

use std::ops::Range;

use crate::model::config::{DecoderConfig, Family, Norm, Positions};
use crate::model::family::Names;

/// One of our parameter tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Our name, as `blocks.0.qkv.weight`.
    pub name: String,
    /// Our shape: one dimension (biases, norms) or two.
    pub shape: Vec<usize>,
    /// The stored tensors that it is put together from, left to right.
    pub parts: Vec<Part>,
    /// Where the one stored tensor goes head by head, each with its query, key and value: how many heads, and features
    /// of one. Ours has all queries first, then all keys.
    pub by_head: Option<[usize; 2]>,
}

/// The share of a [`Slot`] that is one stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name in the folder, as `model.layers.0.self_attn.q_proj.weight`.
    pub hf_name: String,
    /// Stored as `[out, in]`.
    pub transpose: bool,
    /// The columns of the slot (its elements, if it has one dimension) that this tensor holds.
    pub columns: Range<usize>,
}

impl Slot {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For each column as it is stored, the column that it is of ours; nothing where both stand alike.
    pub fn columns(&self) -> Option<Vec<usize>> {
        let [heads, size] = self.by_head?;
        let start = |kind: usize, head: usize| (kind * heads + head) * size;
        let starts = (0..heads).flat_map(|head| [0, 1, 2].map(|kind| start(kind, head)));
        Some(starts.flat_map(|start| start..start + size).collect())
    }

    /// Brings rows that stand as they are stored into our order.
    pub fn order<T: Copy>(&self, values: &mut [T]) {
        let Some(columns) = self.columns() else {
            return;
        };
        for row in values.chunks_exact_mut(columns.len()) {
            let stored = row.to_vec();
            for (at, value) in columns.iter().zip(stored) {
                row[*at] = value;
            }
        }
    }

    /// The shape that `part` has in the folder.
    pub fn stored_shape(&self, part: &Part) -> Vec<usize> {
        match (self.shape.as_slice(), part.transpose) {
            ([rows, _], true) => vec![part.columns.len(), *rows],
            ([rows, _], false) => vec![*rows, part.columns.len()],
            _ => vec![part.columns.len()],
        }
    }
}

/// All parameter tensors of a model, in the order of computation.
pub fn slots(config: &DecoderConfig) -> Vec<Slot> {
    let names = &config.family.traits().names;
    let (vocab, hidden) = (config.vocab_size, config.hidden_size);
    let mut slots = vec![table("embed", [vocab, hidden], names.embed)];
    if config.positions == Positions::Learned {
        slots.push(table(
            "positions",
            [config.max_positions, hidden],
            "transformer.wpe.weight",
        ));
    }
    for block in 0..config.layers {
        slots.extend(block_slots(config, names, block));
    }
    slots.extend(norm(config, "norm", names.norm, config.hidden_size));
    if !config.tied {
        let name = match config.score {
            None => names.head,
            Some(_) => "score.weight",
        };
        slots.push(table("head", [config.head_rows(), hidden], name));
    }
    slots
}

/// The name of the embedding in a folder of this family.
pub fn embedding(family: Family) -> &'static str {
    family.traits().names.embed
}

fn block_slots(config: &DecoderConfig, names: &Names, block: usize) -> Vec<Slot> {
    let hidden = config.hidden_size;
    let wide = config.intermediate_size;
    let queries = config.heads * config.head_dim;
    let keys = config.kv_heads * config.head_dim;
    let qkv_widths: &[usize] = match names.qkv.len() {
        1 => &[config.qkv_size()],
        _ => &[queries, keys, keys],
    };
    let up_widths: &[usize] = match names.up.len() {
        1 => &[config.up_size()],
        _ => &[wide, wide],
    };
    let ours = |name: &str| format!("blocks.{block}.{name}");
    let theirs = |name: &str| format!("{}.{block}.{name}", names.block);
    let linear = |name: &str, inputs: usize, parts: &[&str], widths: &[usize], bias: bool| {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| theirs(part))
            .zip(widths.iter().copied())
            .collect();
        linear_slots(&ours(name), inputs, &parts, names.out_in, bias)
    };
    let norm_if = |there: bool, name: &str, stored: &str, size: usize| match there {
        true => norm(config, &ours(name), &theirs(stored), size),
        false => Vec::new(),
    };
    let (before, after) = (config.norms.before(), config.norms.after());
    let mut slots = norm_if(before, "attn_norm", names.attn_norm, hidden);
    let mut qkv = linear("qkv", hidden, names.qkv, qkv_widths, config.qkv_bias);
    if names.by_head {
        for slot in &mut qkv {
            slot.by_head = Some([config.heads, config.head_dim]);
        }
    }
    slots.extend(qkv);
    if let Some(sizes) = config.qk_norm_sizes() {
        let each = ["q_norm", "k_norm"].iter().zip(names.qk_norms).zip(sizes);
        slots.extend(each.flat_map(|((name, stored), size)| norm_if(true, name, stored, size)));
    }
    slots.extend(linear(
        "out",
        queries,
        &[names.out],
        &[hidden],
        config.out_bias,
    ));
    slots.extend(norm_if(
        after,
        "attn_post_norm",
        names.attn_post_norm,
        hidden,
    ));
    slots.extend(norm_if(before, "mlp_norm", names.mlp_norm, hidden));
    slots.extend(linear("up", hidden, names.up, up_widths, config.mlp_bias));
    slots.extend(linear(
        "down",
        wide,
        &[names.down],
        &[hidden],
        config.mlp_bias,
    ));
    slots.extend(norm_if(after, "mlp_post_norm", names.mlp_post_norm, hidden));
    slots
}

fn table(name: &str, shape: [usize; 2], hf_name: &str) -> Slot {
    let part = Part {
        hf_name: hf_name.into(),
        transpose: false,
        columns: 0..shape[1],
    };
    Slot {
        name: name.into(),
        shape: shape.into(),
        parts: vec![part],
        by_head: None,
    }
}

fn norm(config: &DecoderConfig, ours: &str, theirs: &str, size: usize) -> Vec<Slot> {
    let kinds: &[&str] = match config.norm {
        Norm::Layer => &["weight", "bias"],
        Norm::Rms => &["weight"],
    };
    let slot = |kind: &&str| Slot {
        name: format!("{ours}.{kind}"),
        shape: vec![size],
        parts: vec![Part {
            hf_name: format!("{theirs}.{kind}"),
            transpose: false,
            columns: 0..size,
        }],
        by_head: None,
    };
    kinds.iter().map(slot).collect()
}

/// The weight of a linear layer, and its bias if it has one, over stored tensors of the given widths.
fn linear_slots(
    name: &str,
    inputs: usize,
    stored: &[(String, usize)],
    transpose: bool,
    bias: bool,
) -> Vec<Slot> {
    let outputs = stored.iter().map(|(_, width)| width).sum();
    let parts = |kind: &str, transpose: bool| {
        let mut start = 0;
        let part = |(stored, width): &(String, usize)| {
            let columns = start..start + width;
            start += width;
            Part {
                hf_name: format!("{stored}.{kind}"),
                transpose,
                columns,
            }
        };
        stored.iter().map(part).collect()
    };
    let mut slots = vec![Slot {
        name: format!("{name}.weight"),
        shape: vec![inputs, outputs],
        parts: parts("weight", transpose),
        by_head: None,
    }];
    if bias {
        slots.push(Slot {
            name: format!("{name}.bias"),
            shape: vec![outputs],
            parts: parts("bias", false),
            by_head: None,
        });
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::{Problem, ScoreHead};

    #[test]
    fn slots_hold_every_parameter_once() {
        for family in Family::ALL {
            for tied in [false, true] {
                let mut config = DecoderConfig::new(family, 97, 32, 3, 4);
                config.tied = tied;
                if ![Family::Gpt2, Family::GptNeoX].contains(&family) {
                    config.kv_heads = 2;
                    config.head_dim = 10;
                }
                let labels = ["trust".into(), "ease".into()].to_vec();
                let head = ScoreHead::plain(labels, Problem::Regression);
                for config in [&config, &config.with_score(head)] {
                    let slots = slots(config);
                    assert_eq!(
                        slots.iter().map(Slot::len).sum::<usize>(),
                        config.parameters()
                    );
                }
                let slots = slots(&config);
                for slot in &slots {
                    let mut next = 0;
                    for part in &slot.parts {
                        assert_eq!(part.columns.start, next, "{slot:?}");
                        next = part.columns.end;
                    }
                    assert_eq!(Some(&next), slot.shape.last(), "{slot:?}");
                }
            }
        }
    }

    #[test]
    fn grouped_queries_are_fused_with_their_keys_and_values() {
        let mut config = DecoderConfig::new(Family::Qwen2, 97, 32, 1, 4);
        config.kv_heads = 2;
        let slots = slots(&config);
        let qkv = slots
            .iter()
            .find(|slot| slot.name == "blocks.0.qkv.weight")
            .unwrap();
        assert_eq!(qkv.shape, [32, 64]);
        assert_eq!(
            qkv.parts[1].hf_name,
            "model.layers.0.self_attn.k_proj.weight"
        );
        assert_eq!(qkv.parts[1].columns, 32..48);
        assert_eq!(qkv.stored_shape(&qkv.parts[1]), [16, 32]);
        let bias = slots
            .iter()
            .find(|slot| slot.name == "blocks.0.qkv.bias")
            .unwrap();
        assert_eq!(bias.stored_shape(&bias.parts[2]), [16]);
    }

    #[test]
    fn gpt2_weights_are_stored_as_ours() {
        let slots = slots(&DecoderConfig::new(Family::Gpt2, 97, 32, 1, 4));
        let names: Vec<_> = slots.iter().map(|slot| slot.name.as_str()).collect();
        assert_eq!(
            &names[..4],
            [
                "embed",
                "positions",
                "blocks.0.attn_norm.weight",
                "blocks.0.attn_norm.bias"
            ]
        );
        let up = slots
            .iter()
            .find(|slot| slot.name == "blocks.0.up.weight")
            .unwrap();
        assert_eq!(up.stored_shape(&up.parts[0]), [32, 128]);
        assert!(!up.parts[0].transpose);
        assert!(!names.contains(&"head"));
    }
}
