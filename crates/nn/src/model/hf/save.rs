//! Writing a model folder.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use rapport_store as store;
use serde_json::{Map, Value, json};

use super::{
    checkpoint::{INDEX, SINGLE, transpose},
    config_json,
    layout::{Part, Slot, slots},
    tensors::{Precision, write_streamed},
};
use crate::model::config::DecoderConfig;

/// Bytes of one shard that [`save`] is usually given: transformers' own habit.
pub const DEFAULT_SHARD_LIMIT: usize = 5_000_000_000;

/// As [`save_like`], with no `generation_config.json` to go on from.
///
/// # Errors
/// Those of [`save_like`].
pub fn save(
    dir: &Path,
    config: &DecoderConfig,
    precision: Precision,
    shard_limit: usize,
    tensor: impl FnMut(&Slot) -> Result<Vec<f32>>,
) -> Result<()> {
    let generation = config_json::generation_json(config);
    save_like(dir, config, precision, shard_limit, &generation, tensor)
}

/// Writes a model folder: weights, `config.json` and, as it is given, `generation_config.json`.
///
/// `tensor` gives the values of each slot in our layout when it is its turn; one at a time is held.
/// Weights over `shard_limit` bytes are split between slots into shards with an index. Every file is
/// written under a temporary name and renamed; `config.json` comes last, and weights that an earlier
/// save left under other names are removed.
///
/// # Errors
/// The configuration is invalid, `tensor` fails or gives another number of values, or the disk refuses.
pub fn save_like(
    dir: &Path,
    config: &DecoderConfig,
    precision: Precision,
    shard_limit: usize,
    generation: &Value,
    mut tensor: impl FnMut(&Slot) -> Result<Vec<f32>>,
) -> Result<()> {
    let problems = config.validate();
    ensure!(
        problems.is_empty(),
        "{}: cannot save: {}",
        dir.display(),
        problems.join("; ")
    );
    fs::create_dir_all(dir).with_context(|| format!("{}: cannot be created", dir.display()))?;
    let shards = split(slots(config), precision, shard_limit);
    let count = shards.len();
    let mut weight_map = Map::new();
    let mut written = BTreeSet::new();
    for (index, shard) in shards.iter().enumerate() {
        let file = match count {
            1 => SINGLE.to_string(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
        };
        let parts = shard
            .iter()
            .flat_map(|slot| slot.parts.iter().map(move |part| (slot, part)));
        let heads: Vec<_> = parts
            .map(|(slot, part)| (part.hf_name.clone(), slot.stored_shape(part)))
            .collect();
        write_streamed(&dir.join(&file), &heads, precision, |sink| {
            for slot in shard {
                let values = tensor(slot).with_context(|| slot.name.clone())?;
                ensure!(
                    values.len() == slot.len(),
                    "{}: {} values for shape {:?}",
                    slot.name,
                    values.len(),
                    slot.shape
                );
                for part in &slot.parts {
                    match stored_values(slot, part, &values) {
                        Some(values) => sink.put(&values)?,
                        None => sink.put(&values)?,
                    }
                }
            }
            Ok(())
        })?;
        weight_map.extend(heads.into_iter().map(|(name, _)| (name, json!(file))));
        written.insert(file);
    }
    if count > 1 {
        weight_map.sort_keys();
        let total_size = config.parameters() * precision.bytes();
        let metadata = json!({"total_size": total_size, "total_parameters": config.parameters()});
        let index = json!({"metadata": metadata, "weight_map": weight_map});
        store::write_json(&dir.join(INDEX), &index)?;
        written.insert(INDEX.to_string());
    }
    remove_stale(dir, &written)?;
    store::write_json(&dir.join("generation_config.json"), generation)?;
    store::write_json(
        &dir.join("config.json"),
        &config_json::to_json(config, precision.name()),
    )
}

/// What `part` holds of a slot's values, in the stored layout; `None` if it is all of them as they are.
pub(super) fn stored_values(slot: &Slot, part: &Part, values: &[f32]) -> Option<Vec<f32>> {
    let width = slot.shape.last().copied().unwrap_or(1).max(1);
    let rows = values.len() / width;
    let columns = part.columns.clone();
    let whole = slot.parts.len() == 1;
    let share = match slot.columns() {
        None if whole => return part.transpose.then(|| transpose(values, rows, width)),
        None => columns.clone().collect(),
        Some(order) => order,
    };
    let own: Vec<f32> = values
        .chunks_exact(width)
        .flat_map(|row| share.iter().map(|column| row[*column]))
        .collect();
    Some(if part.transpose {
        transpose(&own, rows, columns.len())
    } else {
        own
    })
}

/// Consecutive slots, as many a shard as fit `limit` bytes (at least one).
fn split(slots: Vec<Slot>, precision: Precision, limit: usize) -> Vec<Vec<Slot>> {
    let mut shards: Vec<Vec<Slot>> = Vec::new();
    let mut used = 0;
    for slot in slots {
        let size = slot.len() * precision.bytes();
        match shards.last_mut() {
            Some(shard) if used + size <= limit => {
                shard.push(slot);
                used += size;
            }
            _ => {
                shards.push(vec![slot]);
                used = size;
            }
        }
    }
    shards
}

/// Removes weight files of an earlier save, which a reader would otherwise take for this one's.
fn remove_stale(dir: &Path, written: &BTreeSet<String>) -> Result<()> {
    let context = || format!("{}: cannot be tidied", dir.display());
    for entry in fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let shard = name.starts_with("model-") && name.ends_with(".safetensors");
        if (shard || name == SINGLE || name == INDEX) && !written.contains(&name) {
            fs::remove_file(entry.path()).with_context(context)?;
        }
    }
    Ok(())
}
