//! Files that are either whole or absent, and JSON whose errors name the file.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::regular::regular;

/// Ending of a file that is not finished; what a kill leaves of one is swept by [`crate::Store`].
pub(crate) const UNFINISHED: &str = ".tmp";

/// Writes `bytes` to `path`, whole or not at all, and makes the missing folders above it.
///
/// # Errors
/// On any failure (a full disk among them) a file already at `path` keeps its old content.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| Ok(out.write_all(bytes)?))
}

/// Writes what `write` puts out to `path`, whole or not at all.
///
/// The bytes go to a hidden file in the same folder, which is synced and then renamed, so a reader
/// meets the old content or the new, never a part.
///
/// # Errors
/// Those of `write` and of the file system; the hidden file is removed and `path` is untouched.
pub fn write_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    try_write(path, write).with_context(|| format!("cannot write {}", path.display()))
}

fn try_write(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| anyhow!("the path names no file"))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    let prefix = format!(".{}.", name.to_string_lossy());
    builder.prefix(&prefix).suffix(UNFINISHED);
    // Temporary files are private by default; results should obey the umask like any other file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(Permissions::from_mode(0o666));
    }
    let mut temporary = builder.tempfile_in(folder)?;
    let mut out = BufWriter::with_capacity(1 << 16, temporary.as_file_mut());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_dir(folder)
}

/// Makes renames inside `folder` last through a power cut.
pub(crate) fn sync_dir(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Writes `value` as indented JSON, atomically.
///
/// # Errors
/// As [`write_atomic`], or when `value` cannot be JSON.
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<()> {
    write_with(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        Ok(out.write_all(b"\n")?)
    })
}

/// Reads a text file.
///
/// # Errors
/// A missing, unreadable or non-UTF-8 file, by name.
pub fn read_text(path: &Path) -> Result<String> {
    regular(path)?;
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads one JSON value.
///
/// # Errors
/// Names the file, and the line and column of what does not fit `T`.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|error| {
        anyhow!(
            "{}:{}: {}",
            path.display(),
            error.line(),
            without_place(&error, true)
        )
    })
}

/// Writes one JSON value a line, atomically.
///
/// # Errors
/// As [`write_atomic`], or when a row cannot be JSON.
pub fn write_jsonl<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    write_with(path, |out| {
        for row in rows {
            serde_json::to_writer(&mut *out, &row)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Reads one JSON value a line; blank lines are passed over.
///
/// # Errors
/// Names the file, the line and what was expected there.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    stream_jsonl(path)?.collect()
}

/// [`read_jsonl`], one value after the other.
///
/// # Errors
/// At once for a file that cannot be opened, else with the value.
pub fn stream_jsonl<T: DeserializeOwned>(
    path: &Path,
) -> Result<impl Iterator<Item = Result<T>> + use<T>> {
    regular(path)?;
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let path = path.to_owned();
    let lines = BufReader::with_capacity(1 << 16, file).lines().enumerate();
    Ok(lines.filter_map(move |(index, line)| {
        let at = || format!("{}:{}", path.display(), index + 1);
        match line.with_context(|| format!("{}: cannot read the line", at())) {
            Ok(line) if line.trim().is_empty() => None,
            Ok(line) => Some(
                serde_json::from_str(&line)
                    .map_err(|error| anyhow!("{}: {}", at(), without_place(&error, false))),
            ),
            Err(error) => Some(Err(error)),
        }
    }))
}

/// serde_json's message without its own "at line L column C", which is relative to the text parsed.
fn without_place(error: &serde_json::Error, whole_file: bool) -> String {
    let text = error.to_string();
    let message = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message);
    let kind = if error.is_data() {
        ""
    } else {
        "not valid JSON: "
    };
    match error.column() {
        0 => format!("{kind}{message}"),
        column if whole_file || !error.is_data() => format!("{kind}{message} (column {column})"),
        _ => format!("{kind}{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_keeps_the_old_content_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/a.json");
        write_atomic(&path, b"old").unwrap();
        let error = write_with(&path, |out| {
            out.write_all(&[b'x'; 200_000])?;
            bail!("No space left on device")
        })
        .unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("a.json") && text.contains("No space left"),
            "{text}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(path.parent().unwrap()), ["a.json"]);
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_bad_row_is_named_by_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        write_jsonl(&path, [1, 2]).unwrap();
        assert_eq!(read_jsonl::<u32>(&path).unwrap(), [1, 2]);
        fs::write(&path, "1\n\n\"two\"\n").unwrap();
        let error = read_jsonl::<u32>(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("rows.jsonl:3: invalid type: string \"two\", expected u32"),
            "{error}"
        );
        fs::write(&path, "1\n{\"a\":").unwrap();
        let error = read_jsonl::<u32>(&path).unwrap_err().to_string();
        assert!(error.contains("rows.jsonl:2: "), "{error}");
    }

    #[test]
    fn bad_json_is_named_by_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "{\n \"a\": @\n}").unwrap();
        let error = read_json::<serde_json::Value>(&path)
            .unwrap_err()
            .to_string();
        assert!(error.contains("a.json:2: not valid JSON"), "{error}");
        let error = read_json::<u32>(&folder.path().join("none.json")).unwrap_err();
        assert!(format!("{error:#}").contains("none.json"), "{error:#}");
    }
}
