//! Safetensors files: a streaming writer that holds one tensor in memory at a time, and a plain pair
//! of functions for whole sets of f32 tensors (training checkpoints).
//!
//! Layout: <https://github.com/huggingface/safetensors#format>.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rapport_store as store;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, json};

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    Bf16,
    F16,
}

impl Precision {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::Bf16 | Precision::F16 => 2,
        }
    }

    /// The name that `config.json` uses.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "float32",
            Precision::Bf16 => "bfloat16",
            Precision::F16 => "float16",
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Precision::F32 => "F32",
            Precision::Bf16 => "BF16",
            Precision::F16 => "F16",
        }
    }
}

/// Named tensors: shape, and values in row-major order.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes f32 tensors to one safetensors file, replacing it only once the new one is whole.
///
/// # Errors
/// A tensor's values do not fill its shape, or the disk refuses.
pub fn write(path: &Path, tensors: &Tensors) -> Result<()> {
    let heads: Vec<_> = tensors
        .iter()
        .map(|(name, (shape, _))| (name.clone(), shape.clone()))
        .collect();
    write_each(path, &heads, |name| Ok(tensors[name].1.clone()))
}

/// As [`write()`], but asks for the values of one tensor at a time, by name.
///
/// # Errors
/// Those of [`write()`], and whatever `values` fails with.
pub fn write_each(
    path: &Path,
    heads: &[(String, Vec<usize>)],
    values: impl Fn(&str) -> Result<Vec<f32>>,
) -> Result<()> {
    write_streamed(path, heads, Precision::F32, |sink| {
        for (name, _) in heads {
            values(name)
                .and_then(|values| sink.put(&values))
                .with_context(|| format!("tensor {name}"))?;
        }
        Ok(())
    })
}

/// Reads a file that [`write()`] wrote.
///
/// # Errors
/// The file is missing, damaged, or holds something else than f32 tensors.
pub fn read(path: &Path) -> Result<Tensors> {
    let bytes = fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{}: not a valid safetensors file", path.display()))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            bail!(
                "{}: {name} is {:?}, expected F32",
                path.display(),
                view.dtype()
            );
        }
        tensors.insert(
            name.to_string(),
            (view.shape().to_vec(), f32_values(view.data())),
        );
    }
    Ok(tensors)
}

/// Little-endian bytes as f32; trailing bytes short of a value are dropped.
pub(super) fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// Takes the values of the tensors announced in a file's header, in that order.
pub(super) struct Sink<'a> {
    out: &'a mut dyn Write,
    precision: Precision,
    /// Sizes of the tensors still to come, next one last.
    due: Vec<usize>,
}

impl Sink<'_> {
    /// Writes the next tensor's values, row-major.
    pub(super) fn put(&mut self, values: &[f32]) -> Result<()> {
        let due = self.due.pop().unwrap_or(0);
        ensure!(
            values.len() == due,
            "{} values for a shape of {due}",
            values.len()
        );
        // Chunks bound the memory of the conversion, not the file.
        for chunk in values.chunks(1 << 16) {
            let bytes: Vec<u8> = match self.precision {
                Precision::F32 => chunk.iter().flat_map(|value| value.to_le_bytes()).collect(),
                Precision::Bf16 => {
                    let mut short = vec![bf16::ZERO; chunk.len()];
                    short.convert_from_f32_slice(chunk);
                    short.iter().flat_map(|value| value.to_le_bytes()).collect()
                }
                Precision::F16 => {
                    let mut short = vec![f16::ZERO; chunk.len()];
                    short.convert_from_f32_slice(chunk);
                    // Its range ends at 65504; the other two types' does not.
                    let lost = chunk
                        .iter()
                        .zip(&short)
                        .find(|(value, short)| value.is_finite() && !short.is_finite());
                    if let Some((value, _)) = lost {
                        bail!(
                            "{value} is too large for float16; save with save_dtype = \"float32\""
                        );
                    }
                    short.iter().flat_map(|value| value.to_le_bytes()).collect()
                }
            };
            self.out.write_all(&bytes)?;
        }
        Ok(())
    }
}

/// Writes the header for `tensors` (name and shape, in file order), then what `fill` puts; the file is
/// whole or not there.
pub(super) fn write_streamed(
    path: &Path,
    tensors: &[(String, Vec<usize>)],
    precision: Precision,
    fill: impl FnOnce(&mut Sink) -> Result<()>,
) -> Result<()> {
    let sizes: Vec<usize> = tensors
        .iter()
        .map(|(_, shape)| shape.iter().product())
        .collect();
    let mut header = Map::from_iter([("__metadata__".to_string(), json!({"format": "pt"}))]);
    let mut end = 0;
    for ((name, shape), size) in tensors.iter().zip(&sizes) {
        let start = end;
        end += size * precision.bytes();
        let offsets = [start, end];
        let entry = json!({"dtype": precision.tag(), "shape": shape, "data_offsets": offsets});
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header)?;
    // Padding keeps the data aligned for readers that map the file.
    header.resize(header.len().next_multiple_of(8), b' ');

    store::write_with(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        let mut sink = Sink {
            out,
            precision,
            due: sizes.into_iter().rev().collect(),
        };
        fill(&mut sink)?;
        ensure!(
            sink.due.is_empty(),
            "{} tensors were announced but not written",
            sink.due.len()
        );
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Tensors {
        BTreeMap::from([
            ("adam.step".to_string(), (vec![], vec![7.0])),
            (
                "b".to_string(),
                (
                    vec![2, 3],
                    vec![1.0, -2.5, f32::MIN_POSITIVE, 0.1, -0.0, 3e38],
                ),
            ),
            ("empty".to_string(), (vec![0, 4], vec![])),
        ])
    }

    #[test]
    fn what_is_written_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        write(&path, &Tensors::new()).unwrap();
        assert!(read(&path).unwrap().is_empty());
        write(&path, &example()).unwrap();
        assert_eq!(read(&path).unwrap(), example());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        write(&path, &example()).unwrap();
        let mut wrong = example();
        wrong.insert("c".into(), (vec![2, 2], vec![0.0; 3]));
        let message = format!("{:#}", write(&path, &wrong).unwrap_err());
        assert!(
            message.contains("tensor c: 3 values for a shape of 4"),
            "{message}"
        );
        assert_eq!(read(&path).unwrap(), example());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn damage_and_other_types_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        write(&path, &example()).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let message = format!("{:#}", read(&path).unwrap_err());
        assert!(
            message.contains("not a valid safetensors file"),
            "{message}"
        );
        let heads = [("half".to_string(), vec![1])];
        write_streamed(&path, &heads, Precision::Bf16, |sink| sink.put(&[1.0])).unwrap();
        let message = format!("{:#}", read(&path).unwrap_err());
        assert!(message.contains("half is BF16"), "{message}");
        let short = write_streamed(&path, &heads, Precision::F32, |_| Ok(()));
        assert!(format!("{:#}", short.unwrap_err()).contains("1 tensors were announced"));
    }
}
