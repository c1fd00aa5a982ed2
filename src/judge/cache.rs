//! Answers by the content of their question, in a folder that outlives the process.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::store::{read_json, write_json};

/// A folder of answers, each in a file named by the hash of server, model and request.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    base_url: String,
    model: String,
}

/// One file.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    base_url: String,
    model: String,
    request: String,
    answer: String,
}

impl Cache {
    /// The answers of `model` at `base_url` in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(super) fn open(folder: &Path, base_url: &str, model: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            base_url: base_url.to_owned(),
            model: model.to_owned(),
        })
    }

    /// The name of a request's answer: a BLAKE3 hash, in hexadecimal digits.
    pub(super) fn key(&self, request: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [&self.base_url, &self.model, request] {
            // Lengths keep the parts apart.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn path(&self, key: &str) -> PathBuf {
        // Some file systems grow slow where one folder holds a hundred thousand files.
        self.folder.join(&key[..2]).join(format!("{key}.json"))
    }

    /// The answer to a request, if it is known. A damaged file is as good as none.
    pub(super) fn get(&self, key: &str, request: &str) -> Option<String> {
        let path = self.path(key);
        if !path.exists() {
            return None;
        }
        match read_json::<Entry>(&path) {
            Ok(entry)
                if entry.request == request
                    && entry.base_url == self.base_url
                    && entry.model == self.model =>
            {
                Some(entry.answer)
            }
            Ok(_) => {
                tracing::warn!("{}: of another request; asking again", path.display());
                None
            }
            Err(error) => {
                tracing::warn!("{error:#}; asking again");
                None
            }
        }
    }

    /// Keeps an answer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, key: &str, request: &str, answer: &str) -> Result<()> {
        let entry = Entry {
            base_url: self.base_url.clone(),
            model: self.model.clone(),
            request: request.to_owned(),
            answer: answer.to_owned(),
        };
        write_json(&self.path(key), &entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_by_server_model_and_request_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = |url: &str, model: &str| Cache::open(folder.path(), url, model).unwrap();
        let cache = open("http://a", "m");
        let key = cache.key("{}");
        assert_eq!(cache.get(&key, "{}"), None);
        cache.put(&key, "{}", "yes").unwrap();
        assert_eq!(cache.get(&key, "{}"), Some("yes".into()));
        assert_eq!(open("http://a", "m").get(&key, "{}"), Some("yes".into()));
        for other in [
            open("http://a", "m2"),
            open("http://b", "m"),
            open("http://am", ""),
        ] {
            assert_ne!(other.key("{}"), key);
            assert_eq!(other.get(&key, "{}"), None);
        }
        for damage in ["", "{", "{\"answer\": 3}", "\u{0}"] {
            fs::write(cache.path(&key), damage).unwrap();
            assert_eq!(cache.get(&key, "{}"), None, "{damage:?}");
        }
        cache.put(&key, "{}", "again").unwrap();
        assert_eq!(cache.get(&key, "{}"), Some("again".into()));
    }
}
