//! A folder's weights: `model.safetensors`, or shards named by `model.safetensors.index.json`.

mod beside;
mod held;
mod shards;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use memmap2::{Mmap, UncheckedAdvice};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use super::{
    layout::{self, Part, Slot, slots},
    tensors::Precision,
};
use crate::model::config::DecoderConfig;
use crate::model::lora::Adapted;
use beside::HEAD;
pub use held::Held;
use held::Place;
pub(super) use shards::{INDEX, SINGLE};
use shards::{read_index, without_safetensors};

/// Tensors of one sort that a message lists.
const LISTED: usize = 20;

/// The weights of an opened folder. Nothing is read until a tensor is asked for.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    shards: Vec<Mmap>,
    /// By name without the base model's prefix.
    tensors: BTreeMap<String, Stored>,
    /// What was read otherwise than a file says, or left unread, for people.
    pub notes: Vec<String>,
    /// What is applied to the weights, where the folder is an adapter's.
    pub adapter: Option<Adapted>,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// The name as the file has it.
    pub name: String,
    shard: usize,
    start: usize,
    end: usize,
    pub shape: Vec<usize>,
    dtype: Dtype,
}

impl Checkpoint {
    /// Maps the safetensors files of `dir` and reads their headers.
    ///
    /// # Errors
    /// No weights, weights in another format, a shard that is missing, damaged, or outside the folder.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut checkpoint = Self {
            dir: dir.to_path_buf(),
            shards: Vec::new(),
            tensors: BTreeMap::new(),
            notes: Vec::new(),
            adapter: None,
        };
        if dir.join(SINGLE).is_file() {
            checkpoint.map(SINGLE)?;
        } else if dir.join(INDEX).is_file() {
            let indexed = read_index(&dir.join(INDEX))?;
            for file in indexed.values().collect::<BTreeSet<_>>() {
                checkpoint
                    .map(file)
                    .with_context(|| format!("shard named in {INDEX}"))?;
            }
            let held = |name: &&String| {
                checkpoint
                    .tensors
                    .get(base_name(name))
                    .is_some_and(|found| found.name == **name)
            };
            let lost: Vec<_> = indexed.keys().filter(|name| !held(name)).cloned().collect();
            ensure!(
                lost.is_empty(),
                "{}: the shards do not hold {}",
                dir.join(INDEX).display(),
                listed(&lost, ", ")
            );
        } else {
            bail!("{}: {}", dir.display(), without_safetensors(dir));
        }
        Ok(checkpoint)
    }

    fn map(&mut self, file: &str) -> Result<()> {
        let path = self.dir.join(file);
        for stored in self.map_file(&path)? {
            let name = base_name(&stored.name).to_owned();
            let known = stored.name.clone();
            if let Some(other) = self.tensors.insert(name, stored) {
                bail!(
                    "{}: {known} is also stored as {}",
                    path.display(),
                    other.name
                );
            }
        }
        Ok(())
    }

    /// Maps a safetensors file, and says what it holds.
    ///
    /// # Errors
    /// A file that is missing or damaged.
    pub(super) fn map_file(&mut self, path: &Path) -> Result<Vec<Stored>> {
        let context = || format!("{}: cannot be read", path.display());
        ensure!(
            !path.exists() || path.is_file(),
            "{}: not a regular file",
            path.display()
        );
        let handle = File::open(path).with_context(context)?;
        // SAFETY: the map is read only; a file cut short by another process while it is mapped would
        // end this one, as it would any reader that maps its weights. Our own writers never change a
        // file in place: they rename a new one over it.
        let map = unsafe { Mmap::map(&handle) }.with_context(context)?;
        let (header, metadata) = SafeTensors::read_metadata(&map).with_context(|| {
            format!(
                "{}: not a valid safetensors file (is the download whole?)",
                path.display()
            )
        })?;
        let data = header + 8; // the header's own length comes first, in 8 bytes
        let tensors = metadata.tensors().into_iter();
        let stored = tensors.map(|(name, info)| Stored {
            shard: self.shards.len(),
            start: data + info.data_offsets.0,
            end: data + info.data_offsets.1,
            shape: info.shape.clone(),
            dtype: info.dtype,
            name,
        });
        let stored = stored.collect();
        self.shards.push(map);
        Ok(stored)
    }

    /// Puts a tensor in the place of that name.
    pub(super) fn replace(&mut self, name: &str, stored: Stored) {
        self.tensors.insert(name.to_owned(), stored);
    }

    /// Takes in tensors that are not the model's own, to be read by their names.
    pub(super) fn hold(&mut self, tensors: BTreeMap<String, Stored>) {
        let named = tensors.into_iter();
        self.tensors
            .extend(named.map(|(name, stored)| (base_name(&name).to_owned(), stored)));
    }

    /// Makes the embedding a head of its own, unless there is one.
    pub(super) fn keep_head(&mut self, embedding: &str) {
        if let Some(table) = self.tensors.get(embedding).cloned() {
            self.tensors.entry(HEAD.to_owned()).or_insert(table);
        }
    }

    /// Settles whether the head is the embedding, as transformers does: a head that is stored beside an
    /// embedding of other values is a head of its own, and one that is stored in its place is both.
    pub fn untie(&mut self, config: &mut DecoderConfig) {
        let embedding = base_name(layout::embedding(config.family));
        if !config.tied || !self.tensors.contains_key(HEAD) {
            return;
        }
        let table = self.tensors.get(embedding);
        match table.map(|table| self.equal(table, &self.tensors[HEAD])) {
            Some(true) => {}
            Some(false) => {
                config.tied = false;
                self.notes.push(format!(
                    "config.json says that the head is the embedding (tie_word_embeddings), but another \
                     {HEAD} is stored: that one is used and saved, and the saved config.json says so"
                ));
            }
            None => {
                if let Some(head) = self.tensors.remove(HEAD) {
                    self.tensors.insert(embedding.to_owned(), head);
                }
            }
        }
    }

    /// Whether two tensors hold the same values.
    fn equal(&self, one: &Stored, other: &Stored) -> bool {
        let [a, b] = [one, other].map(|it| &self.shards[it.shard][it.start..it.end]);
        if one.shape != other.shape || (one.dtype == other.dtype && a == b) {
            return one.shape == other.shape;
        }
        let [Some(wide), Some(other_wide)] = [one, other].map(|it| held::width(it.dtype)) else {
            return false;
        };
        // As numbers: two types may hold the same ones, and zero has two signs.
        let pieces = a.chunks(wide << 16).zip(b.chunks(other_wide << 16));
        pieces
            .map(|(a, b)| (held::values(a, one.dtype), held::values(b, other.dtype)))
            .all(|(a, b)| a == b)
    }

    /// The type that most of the weights are stored in.
    pub fn precision(&self) -> Precision {
        let bytes = |dtype| {
            let of = self.tensors.values().filter(|it| it.dtype == dtype);
            of.map(|it| it.end - it.start).sum::<usize>()
        };
        [
            (Dtype::F16, Precision::F16),
            (Dtype::BF16, Precision::Bf16),
            (Dtype::F32, Precision::F32),
        ]
        .into_iter()
        .max_by_key(|(dtype, _)| bytes(*dtype))
        .map_or(Precision::F32, |(_, precision)| precision)
    }

    /// Whether the stored tensors are exactly those of `config`, in shape and type.
    ///
    /// # Errors
    /// Missing, unexpected, mis-shaped and unreadable tensors, one a line. Buffers that carry no
    /// trained value (masks, rotary frequencies, the copy of a tied head) may be there or not, and so may
    /// heads that no language model reads, which are noted.
    pub fn check(&mut self, config: &DecoderConfig) -> Result<()> {
        let slots = slots(config);
        let mut problems = Vec::new();
        let mut expected = BTreeSet::new();
        for slot in &slots {
            for part in &slot.parts {
                expected.insert(base_name(&part.hf_name));
                problems.extend(self.stored(slot, part).err().map(|error| error.to_string()));
            }
        }
        let mut left_out = Vec::new();
        for (name, stored) in &self.tensors {
            if expected.contains(name.as_str()) || beside::without_value(name, config.tied) {
            } else if beside::another_head(name, config) {
                left_out.push(stored.name.clone());
            } else {
                problems.push(format!(
                    "{}: unexpected, shape {:?}",
                    stored.name, stored.shape
                ));
            }
        }
        ensure!(problems.is_empty(), "{}", listed(&problems, "\n"));
        if !left_out.is_empty() {
            self.notes.push(format!(
                "the weights hold {}, of a head that this model does not have (a value head of PPO, or a scoring \
                 head): neither computed nor saved",
                listed(&left_out, ", ")
            ));
        }
        Ok(())
    }

    fn stored(&self, slot: &Slot, part: &Part) -> Result<&Stored> {
        let name = &part.hf_name;
        let expected = slot.stored_shape(part);
        let Some(stored) = self.tensors.get(base_name(name)) else {
            let hint = match name.as_str() {
                HEAD => "; if the head is the embedding, set tie_word_embeddings to true",
                _ => "",
            };
            bail!("{name}: missing, expected shape {expected:?}{hint}");
        };
        ensure!(
            stored.shape == expected,
            "{}: shape {:?}, expected {expected:?}",
            stored.name,
            stored.shape
        );
        ensure!(
            matches!(stored.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16),
            "{}: stored as {:?}; expected F32, BF16 or F16",
            stored.name,
            stored.dtype
        );
        Ok(stored)
    }

    /// The values of one of our tensors, in our layout (row-major), as f32.
    ///
    /// # Errors
    /// Those of [`read_as`](Self::read_as).
    pub fn read(&self, slot: &Slot) -> Result<Vec<f32>> {
        self.read_as(slot)
    }

    /// The values of one of our tensors, in our layout (row-major), rounded to `T` where it has fewer digits than what
    /// is stored. They go there straight from the mapped file.
    ///
    /// # Errors
    /// A part of it is missing, or has another shape, an unreadable type or a value that is not finite.
    pub fn read_as<T: Held>(&self, slot: &Slot) -> Result<Vec<T>> {
        let mut values = T::zeros(slot.len());
        for part in &slot.parts {
            let stored = self
                .stored(slot, part)
                .with_context(|| format!("{}: cannot load {}", self.dir.display(), slot.name))?;
            let bytes = &self.shards[stored.shard][stored.start..stored.end];
            let place = Place {
                width: slot.shape.last().copied().unwrap_or(1),
                start: part.columns.start,
                columns: part.columns.len(),
                transpose: part.transpose,
            };
            if !held::fill(&mut values, place, bytes, stored.dtype)
                && let Some((at, value)) = held::not_finite(bytes, stored.dtype)
            {
                bail!(
                    "{}: {}: not a finite number ({value} at value {at} of {}); a training that diverged or a damaged \
                     file leaves such weights, so take an earlier or another copy of the model",
                    self.dir.display(),
                    stored.name,
                    stored.shape.iter().product::<usize>()
                );
            }
            self.forget(stored);
        }
        slot.order(&mut values);
        Ok(values)
    }

    /// Takes what was read of a tensor out of this process: a whole model in the map would stand there twice.
    fn forget(&self, stored: &Stored) {
        let (map, length) = (&self.shards[stored.shard], stored.end - stored.start);
        // SAFETY: pages of a file that is mapped to be read are read again where they are asked for again. Where the
        // system does not take the advice, they stay: nothing is lost.
        let _ =
            unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, stored.start, length) };
    }
}

/// A stored name without the base model's prefix: folders are saved with it or, from the base class
/// alone, without. A head has one name, whatever its family calls it.
pub(super) fn base_name(name: &str) -> &str {
    if name == "embed_out.weight" {
        return HEAD;
    }
    ["model.", "transformer.", "gpt_neox."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// The first of a list, and how many more there are.
pub(super) fn listed(all: &[String], between: &str) -> String {
    let mut text = all[..all.len().min(LISTED)].join(between);
    if all.len() > LISTED {
        text.push_str(&format!("{between}and {} more", all.len() - LISTED));
    }
    text
}

/// `[rows, columns]` to `[columns, rows]`, both row-major.
pub(crate) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    // Tiles keep both sides in cache: a plain double loop misses on every value of a large matrix.
    const TILE: usize = 32;
    let mut out = vec![0.0; values.len()];
    if values.is_empty() {
        return out;
    }
    out.par_chunks_mut(TILE * rows)
        .enumerate()
        .for_each(|(band, out)| {
            let first = band * TILE;
            let height = out.len() / rows;
            for start in (0..rows).step_by(TILE) {
                for row in start..rows.min(start + TILE) {
                    let source = &values[row * columns + first..][..height];
                    for (offset, value) in source.iter().enumerate() {
                        out[offset * rows + row] = *value;
                    }
                }
            }
        });
    out
}

#[cfg(test)]
mod tests;
