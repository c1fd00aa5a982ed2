//! Content hashes: what an artifact is made from, in 16 hexadecimal digits.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::regular::{listed, regular};

/// The first 64 bits of a BLAKE3 hash, as 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    fn of(hasher: &blake3::Hasher) -> Self {
        Self(hasher.finalize().to_hex()[..16].to_string())
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Hashes bytes.
pub fn hash_bytes(bytes: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes);
    Hash::of(&hasher)
}

/// Hashes a file's content; its name has no part in it.
///
/// Reads through a buffer and not a memory map: a map of a file that shrinks meanwhile kills the
/// process.
///
/// # Errors
/// When the file cannot be read; [`BadInput`] for what is no file, such as a pipe, which may never end.
pub fn hash_file(path: &Path) -> Result<Hash> {
    regular(path)?;
    let what = || format!("cannot read {}", path.display());
    hash_reader(File::open(path).with_context(what)?).with_context(what)
}

/// Hashes all that a reader gives.
pub(crate) fn hash_reader(from: impl Read) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(from)?;
    Ok(Hash::of(&hasher))
}

/// Hashes the names and contents of all files under a folder, in name order.
///
/// Links are followed. Hidden entries (a leading dot: caches, editors' files) are passed over.
///
/// # Errors
/// When an entry cannot be read, or folders nest more than 32 deep (a link to a folder above).
pub fn hash_dir(path: &Path) -> Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    update_dir(&mut hasher, path, 0)?;
    Ok(Hash::of(&hasher))
}

fn update_dir(hasher: &mut blake3::Hasher, path: &Path, depth: usize) -> Result<()> {
    for (name, is_dir) in listed(path, depth)? {
        let bytes = name.as_encoded_bytes();
        let child = path.join(&name);
        // Lengths and kinds keep (name, content) pairs apart: "ab" + "c" is not "a" + "bc".
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
        if is_dir {
            hasher.update(b"(");
            update_dir(hasher, &child, depth + 1)?;
            hasher.update(b")");
        } else {
            hasher.update(b"=");
            hasher.update(hash_file(&child)?.0.as_bytes());
        }
    }
    Ok(())
}

/// Hashes a file ([`hash_file`]) or a folder ([`hash_dir`]).
///
/// # Errors
/// When there is neither at `path`, or it cannot be read.
pub fn hash_path(path: &Path) -> Result<Hash> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if metadata.is_dir() {
        hash_dir(path)
    } else {
        hash_file(path)
    }
}

/// Hashes a JSON value in canonical form: keys sorted, no spaces.
pub fn hash_json(value: &Value) -> Hash {
    let mut text = String::new();
    canonical(value, &mut text);
    hash_bytes(text.as_bytes())
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hash_is_the_start_of_the_published_blake3_of_nothing() {
        assert_eq!(hash_bytes(b"").as_str(), "af1349b9f5f9a1a6");
    }

    #[test]
    fn json_hashes_by_content_and_not_by_key_order() {
        let a = json!({"b": {"y": 1, "x": [1, 2]}, "a": "s"});
        let b = json!({"a": "s", "b": {"x": [1, 2], "y": 1}});
        assert_ne!(a.to_string(), b.to_string());
        assert_eq!(hash_json(&a), hash_json(&b));
        for other in [
            json!({"a": "s", "b": {"x": [2, 1], "y": 1}}),
            json!({"a": "s", "b": {"x": [1, 2], "y": "1"}}),
            json!({"a": "s", "b": {"x": [1, 2], "y": 1}, "c": null}),
        ] {
            assert_ne!(hash_json(&a), hash_json(&other), "{other}");
        }
    }

    #[test]
    fn a_folder_hashes_by_names_and_contents() {
        let root = tempfile::tempdir().unwrap();
        let make = |name: &str, files: &[(&str, &str)]| {
            let folder = root.path().join(name);
            for (file, text) in files {
                crate::write_atomic(&folder.join(file), text.as_bytes()).unwrap();
            }
            hash_path(&folder).unwrap()
        };
        let base = make("a", &[("x", "1"), ("sub/y", "2")]);
        assert_eq!(
            base,
            make("b", &[("sub/y", "2"), ("x", "1"), (".cache/z", "3")])
        );
        assert_ne!(base, make("c", &[("x", "1"), ("sub/y", "3")]));
        assert_ne!(base, make("d", &[("x", "1"), ("y", "2")]));
        assert_ne!(make("e", &[("ab", "c")]), make("f", &[("a", "bc")]));
        assert_eq!(
            hash_path(&root.path().join("a/x")).unwrap(),
            hash_bytes(b"1")
        );
        assert!(hash_path(&root.path().join("none")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_is_an_error_and_not_an_endless_walk() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("up")).unwrap();
        assert!(hash_dir(root.path()).is_err());
    }
}
