//! Reading a whole file that the user named, be it what it may.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, is a pipe, a device or a folder, or is larger, by its name.
pub fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let about = std::fs::metadata(path).with_context(cannot)?;
    ensure!(
        about.is_file(),
        "{}: not a regular file; a pipe, a device or a folder cannot be read in its place",
        path.display()
    );
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
}
