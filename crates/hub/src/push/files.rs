//! The files of a folder that is pushed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rapport_store::{BadInput, Stop, all_regular, read_regular, say};
use sha2::{Digest as _, Sha256};

use crate::digest::{self, hex};
use crate::name::check_file;

/// The largest file that a commit carries itself; the hub takes no larger one.
const REGULAR: u64 = 32 << 20;

/// Bytes by which the hub tells text from the rest.
const SAMPLE: u64 = 512;

/// Files of one folder.
const MOST: usize = 10_000;

/// One file, here and there.
pub(super) struct Local {
    /// Its path in the repository.
    pub path: String,
    pub place: PathBuf,
    pub size: u64,
    pub sample: Vec<u8>,
    pub sha256: String,
    /// Git's name of it.
    git: String,
    /// Whether it goes by LFS.
    pub lfs: bool,
    pub ignored: bool,
    /// What the hub has under its path.
    pub remote: Option<String>,
}

/// All files of a model's folder that are not hidden.
///
/// # Errors
/// A folder that is no model's, or holds what cannot be pushed.
pub(super) fn of_model(dir: &Path) -> Result<Vec<Local>> {
    let shown = dir.display();
    ensure!(dir.is_dir(), BadInput(format!("{shown}: no such folder")));
    let has = |name: &str| dir.join(name).is_file();
    if !has("config.json") && !has("adapter_config.json") {
        bail!(BadInput(format!(
            "{shown}: neither config.json nor adapter_config.json there; name a model's or an adapter's folder, such \
             as OUT/model"
        )));
    }
    all_regular(dir)?;
    let mut files = Vec::new();
    collect(dir, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if !files.iter().any(|file| file.path.ends_with(".safetensors")) {
        bail!(BadInput(format!("{shown}: no safetensors there")));
    }
    if !has("README.md") {
        say(&format!(
            "{shown}: no README.md there, so that the model goes without a card"
        ));
    }
    Ok(files)
}

fn collect(folder: &Path, below: &str, files: &mut Vec<Local>) -> Result<()> {
    let cannot = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let place = entry.with_context(cannot)?.path();
        let name = place.file_name().unwrap_or_default();
        let Some(name) = name.to_str() else {
            bail!(BadInput(format!(
                "{}: its name is no text",
                place.display()
            )));
        };
        if name.starts_with('.') {
            continue;
        }
        let path = format!("{below}{name}");
        if place.is_dir() {
            collect(&place, &format!("{path}/"), files)?;
            continue;
        }
        check_file(&path).map_err(|error| BadInput(format!("{}: {error:#}", place.display())))?;
        ensure!(
            files.len() < MOST,
            BadInput(format!("{}: more than {MOST} files", folder.display()))
        );
        let file =
            File::open(&place).with_context(|| format!("cannot read {}", place.display()))?;
        let size = file.metadata()?.len();
        let mut sample = Vec::new();
        file.take(SAMPLE).read_to_end(&mut sample)?;
        files.push(Local {
            path,
            place,
            size,
            sample,
            sha256: String::new(),
            git: String::new(),
            lfs: false,
            ignored: false,
            remote: None,
        });
    }
    Ok(())
}

impl Local {
    /// Reads it through for its hashes.
    pub fn hash(&mut self, stop: &Stop) -> Result<()> {
        let cannot = || format!("cannot read {}", self.place.display());
        let mut file = File::open(&self.place).with_context(cannot)?;
        let mut sha256 = Sha256::new();
        let mut git = digest::git(self.size);
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = file.read(&mut buffer).with_context(cannot)?;
            if count == 0 {
                break;
            }
            stop.check()?;
            sha256.update(&buffer[..count]);
            if !self.lfs {
                git.update(&buffer[..count]);
            }
        }
        self.sha256 = hex(&sha256.finalize());
        self.git = hex(&git.finalize());
        Ok(())
    }

    /// Whether the hub has it as it is here.
    pub fn is_there(&self) -> bool {
        let own = if self.lfs { &self.sha256 } else { &self.git };
        self.remote.as_ref() == Some(own)
    }

    /// What a commit carries of it.
    pub fn content(&self) -> Result<Vec<u8>> {
        read_regular(&self.place, REGULAR)
    }
}

/// Bytes in base64 (RFC 4648).
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            text.push(match at <= group.len() {
                true => DIGITS[(bits >> (18 - 6 * at) & 63) as usize].into(),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
