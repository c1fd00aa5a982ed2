//! Records that name the size and content of the files beside them, by which damage is found.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::files::{hash::hash_reader, regular::DEEPEST};
use super::{Hash, hash_json, read_json, write_json};

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// In bytes.
    pub size: u64,
    pub blake3: Hash,
    /// Whether more may have been written behind since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grows: bool,
}

/// Seals by path, relative to the record's folder, with `/` between its parts.
pub type Seals = BTreeMap<String, Seal>;

const FILES: &str = "files";
const SEAL: &str = "seal";

impl Seal {
    /// The seal of a file as it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let what = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(what)?;
        let size = file.metadata().with_context(what)?.len();
        let blake3 = hash_reader(file.take(size)).with_context(what)?;
        Ok(Self {
            size,
            blake3,
            grows: false,
        })
    }

    /// # Errors
    /// How the file differs.
    fn check(&self, path: &Path) -> Result<()> {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow!("it is missing"),
            _ => error.into(),
        })?;
        ensure!(metadata.is_file(), "it is no regular file");
        let size = metadata.len();
        let fits = size == self.size || (self.grows && size > self.size);
        ensure!(fits, "it has {size} bytes, not {}", self.size);
        let found = hash_reader(File::open(path)?.take(self.size))?;
        ensure!(found == self.blake3, "its content is not what was written");
        Ok(())
    }
}

/// Seals all files under a folder but the one named `record`; hidden ones (a leading dot) are passed over.
///
/// # Errors
/// When one cannot be read.
pub fn seal_dir(dir: &Path, record: &str) -> Result<Seals> {
    let files = walk(dir, record)?;
    let sealed = files.par_iter().map(|name| -> Result<_> {
        let seal = Seal::of(&dir.join(name))?;
        Ok((name.clone(), seal))
    });
    sealed.collect()
}

/// The files under a folder as [`Seals`] name them. Links are followed.
fn walk(dir: &Path, record: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![(dir.to_owned(), String::new(), 0)];
    while let Some((folder, before, depth)) = folders.pop() {
        let what = || format!("cannot read {}", folder.display());
        ensure!(
            depth <= DEEPEST,
            "{}: folders nest too deep",
            folder.display()
        );
        for entry in fs::read_dir(&folder).with_context(what)? {
            let name = entry.with_context(what)?.file_name();
            let Some(name) = name.to_str().map(str::to_owned) else {
                bail!("{}: a name is not UTF-8", folder.display());
            };
            let (path, inner) = (folder.join(&name), format!("{before}{name}"));
            if name.starts_with('.') || inner == record {
                continue;
            }
            if path.is_dir() {
                folders.push((path, format!("{inner}/"), depth + 1));
            } else {
                files.push(inner);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Writes `value`, an object, as JSON with the seals of the files it vouches for and one of its own.
///
/// # Errors
/// As [`write_json`].
pub fn write_sealed<T: Serialize>(path: &Path, value: &T, files: &Seals) -> Result<()> {
    let Value::Object(mut record) = serde_json::to_value(value)? else {
        bail!("{}: only an object can be sealed", path.display());
    };
    record.insert(FILES.into(), serde_json::to_value(files)?);
    record.insert(SEAL.into(), serde_json::to_value(own_seal(&record))?);
    write_json(path, &record)
}

fn own_seal(record: &Map<String, Value>) -> Hash {
    let mut record = record.clone();
    record.remove(SEAL);
    hash_json(&record.into())
}

/// Reads what [`write_sealed`] wrote and every file that it vouches for.
///
/// # Errors
/// The first file that is missing or differs, the record itself among them.
pub fn read_sealed<T: DeserializeOwned>(path: &Path) -> Result<(T, Seals)> {
    let name = name(path);
    if !path.exists() {
        bail!("{name} is damaged: it is missing");
    }
    let damaged = |why: anyhow::Error| anyhow!("{name} is damaged: {why:#}");
    let record: Map<String, Value> = read_json(path).map_err(damaged)?;
    let seal = record.get(SEAL).and_then(Value::as_str);
    if seal.is_none() {
        bail!("{name} does not say what its files hold: it was written by an older version");
    }
    if seal != Some(own_seal(&record).as_str()) {
        return Err(damaged(anyhow!("its content is not what was written")));
    }
    let files = record.get(FILES).cloned().unwrap_or_default();
    let files: Seals = serde_json::from_value(files).map_err(|error| damaged(error.into()))?;
    let value = serde_json::from_value(record.into()).map_err(|error| damaged(error.into()))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let checked = files.par_iter().map(|(file, seal)| {
        let checked = seal.check(&dir.join(file));
        checked.map_err(|why| anyhow!("{file} is damaged: {why:#}"))
    });
    // The first by name, whichever thread found its own first.
    let damage: Vec<anyhow::Error> = checked.filter_map(Result::err).collect();
    match damage.into_iter().next() {
        Some(error) => Err(error),
        None => Ok((value, files)),
    }
}

/// As [`read_sealed`], and there must be no file under the record's folder that it does not know.
///
/// # Errors
/// As [`read_sealed`], and the first such file.
pub fn read_sealed_dir<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let (value, files) = read_sealed(path)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let there = walk(dir, &name(path))?;
    if let Some(extra) = there.iter().find(|file| !files.contains_key(*file)) {
        bail!("{extra} was put there later");
    }
    Ok(value)
}

fn name(path: &Path) -> String {
    let name: PathBuf = path.file_name().unwrap_or_default().into();
    name.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::write_atomic;
    use super::*;
    use serde_json::json;

    fn made(dir: &Path) -> PathBuf {
        write_atomic(&dir.join("a.txt"), b"alpha").unwrap();
        write_atomic(&dir.join("sub/b.bin"), &[0; 300]).unwrap();
        let record = dir.join("record.json");
        let files = seal_dir(dir, "record.json").unwrap();
        write_sealed(&record, &json!({"n": 0.1, "x": {"y": [1, null]}}), &files).unwrap();
        record
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_sealed_folder_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let record = made(dir.path());
        read_sealed_dir::<Value>(&record).unwrap();
        for name in ["a.txt", "sub/b.bin", "record.json"] {
            let path = dir.path().join(name);
            let whole = fs::read(&path).unwrap();
            for at in 0..whole.len() * 8 {
                let mut bytes = whole.clone();
                bytes[at / 8] ^= 1 << (at % 8);
                fs::write(&path, bytes).unwrap();
                let error = read_sealed_dir::<Value>(&record).unwrap_err().to_string();
                assert!(error.starts_with(name), "{name} bit {at}: {error}");
            }
            for cut in 0..whole.len() {
                fs::write(&path, &whole[..cut]).unwrap();
                // Without its last line break the record says the same.
                let same = name == "record.json" && cut + 1 == whole.len();
                assert_eq!(
                    read_sealed_dir::<Value>(&record).is_ok(),
                    same,
                    "{name} {cut}"
                );
            }
            fs::remove_file(&path).unwrap();
            let error = read_sealed_dir::<Value>(&record).unwrap_err().to_string();
            assert!(error.contains("missing"), "{error}");
            fs::write(&path, whole).unwrap();
        }
        fs::write(dir.path().join("sub/.hidden"), "").unwrap();
        read_sealed_dir::<Value>(&record).unwrap();
        fs::write(dir.path().join("sub/c"), "").unwrap();
        let error = read_sealed_dir::<Value>(&record).unwrap_err().to_string();
        assert!(error.starts_with("sub/c was put there"), "{error}");
    }

    #[test]
    fn what_is_written_behind_a_growing_file_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let (log, record) = (dir.path().join("log"), dir.path().join("state.json"));
        fs::write(&log, "1\n2\n").unwrap();
        let mut seal = Seal::of(&log).unwrap();
        seal.grows = true;
        let files = Seals::from([("log".to_owned(), seal)]);
        write_sealed(&record, &json!({"step": 2}), &files).unwrap();
        fs::write(&log, "1\n2\n3\n").unwrap();
        read_sealed::<Value>(&record).unwrap();
        for damaged in ["1\n3\n3\n", "1\n2", ""] {
            fs::write(&log, damaged).unwrap();
            read_sealed::<Value>(&record).unwrap_err();
        }
    }
}
