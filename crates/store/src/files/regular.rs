//! Files and folders that the user named, be they what they may.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::BadInput;

/// How deep folders may nest: deeper, a link most likely leads back to a folder above.
pub(crate) const DEEPEST: usize = 32;

/// That what is at `path` is a regular file or a link to one: a pipe, a device or a socket has no end, and opening
/// it may wait for ever. What is not there is left to whoever opens it.
///
/// # Errors
/// [`BadInput`] by name.
pub fn regular(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(());
    };
    if metadata.is_file() {
        return Ok(());
    }
    let what = match metadata.is_dir() {
        true => "a folder",
        false => "a pipe, a device or a socket",
    };
    let path = path.display();
    Err(BadInput(format!("{path} is {what}, not a regular file; name a file")).into())
}

/// That everything under the folder at `path` that is no folder is a [`regular`] file; hidden entries are passed
/// over. What is itself a file is checked as one.
///
/// # Errors
/// As [`regular`], and for folders that nest too deep.
pub fn all_regular(path: &Path) -> Result<()> {
    fn check(path: &Path, depth: usize) -> Result<()> {
        if !path.is_dir() {
            return regular(path);
        }
        for (name, _) in listed(path, depth)? {
            check(&path.join(name), depth + 1)?;
        }
        Ok(())
    }
    check(path, 0)
}

/// The entries of a folder that are not hidden, by name, and whether each is a folder or a link to one.
pub(super) fn listed(path: &Path, depth: usize) -> Result<Vec<(OsString, bool)>> {
    if depth > DEEPEST {
        bail!(
            "{}: folders nest too deep; does a link lead back to a folder above?",
            path.display()
        );
    }
    let what = || format!("cannot read {}", path.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(what)? {
        let name = entry.with_context(what)?.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let child = path.join(&name);
        let metadata =
            fs::metadata(&child).with_context(|| format!("cannot read {}", child.display()))?;
        entries.push((name, metadata.is_dir()));
    }
    entries.sort();
    Ok(entries)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, is a pipe, a device or a folder, or is larger, by its name.
pub fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    regular(path)?;
    let about = fs::metadata(path).with_context(cannot)?;
    ensure!(
        about.len() <= limit,
        "{}: {} bytes, where {limit} are the most that are read",
        path.display(),
        about.len()
    );
    std::fs::read(path).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash_path, read_text};

    #[test]
    fn a_pipe_a_device_and_a_file_too_large_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(read_regular(&file, 2).unwrap(), b"{}");
        let message = |path: &Path, limit| format!("{:#}", read_regular(path, limit).unwrap_err());
        assert!(message(&file, 1).contains("config.json: 2 bytes"));
        let link = dir.path().join("zero");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [&link, dir.path(), Path::new("/dev/zero")] {
            let message = message(path, 10);
            assert!(message.contains("not a regular file"), "{message}");
            assert!(message.contains(&*path.to_string_lossy()), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_or_a_device_is_refused_by_name_and_not_read_for_ever() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("data.jsonl");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), root.path()] {
            let errors = [hash_path(path), read_text(&pipe).map(|_| unreachable!())];
            for error in errors.map(Result::unwrap_err) {
                assert!(error.is::<BadInput>(), "{error:#}");
                assert!(
                    error.to_string().contains("not a regular file"),
                    "{error:#}"
                );
            }
        }
        assert!(all_regular(root.path()).unwrap_err().is::<BadInput>());
    }
}
