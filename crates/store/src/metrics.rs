//! Step metrics as JSON Lines, which a kill at any moment leaves usable.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value};

use super::write_atomic;

/// An append-only `metrics.jsonl`: one JSON object a line, whole lines only.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Metrics {
    /// Opens `path` to append after `resume_at_step` (0 for a fresh start).
    ///
    /// Lines with a later `step` are dropped, since those steps will be taken again; so is a last
    /// line that a kill tore, and a damaged one with all behind it where no step before the resumed one
    /// is among these. A line without a `step` stays or goes with the line before it.
    ///
    /// # Errors
    /// Any other damaged line, by file and line, and file system errors.
    pub fn open(path: &Path, resume_at_step: u64) -> Result<Self> {
        let mut bytes = match resume_at_step {
            0 => Vec::new(),
            _ => read_if_there(path)?,
        };
        bytes.truncate(needed(&bytes, resume_at_step));
        let mut kept = Vec::with_capacity(bytes.len());
        let mut keep = true;
        for (line, row) in rows(path, &bytes)? {
            if let Some(step) = row.get("step").and_then(Value::as_f64) {
                keep = step <= resume_at_step as f64;
            }
            if keep {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
        }
        if kept != read_if_there(path)? || !path.exists() {
            write_atomic(path, &kept)?;
        }
        let what = || format!("cannot write {}", path.display());
        let mut file = OpenOptions::new()
            .write(true)
            .open(path)
            .with_context(what)?;
        let length = file.seek(SeekFrom::End(0)).with_context(what)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            length,
        })
    }

    /// Appends one line and hands it to the operating system at once.
    ///
    /// # Errors
    /// When it cannot be written whole (a full disk); then the file is as before.
    pub fn write(&mut self, row: &Map<String, Value>) -> Result<()> {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // A part may have been written: take it back, so that a later line is not glued to it.
            let undone = self.file.set_len(self.length);
            let undone = undone.and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            if let Err(undo) = undone {
                tracing::warn!(
                    "{}: a torn line could not be removed: {undo}",
                    self.path.display()
                );
            }
            return Err(error).with_context(|| format!("cannot write {}", self.path.display()));
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// Reads all whole lines of a `metrics.jsonl`; none if there is no such file.
///
/// # Errors
/// A damaged line other than a torn last one, by file and line.
pub fn read_metrics(path: &Path) -> Result<Vec<Map<String, Value>>> {
    let bytes = read_if_there(path)?;
    Ok(rows(path, &bytes)?
        .into_iter()
        .map(|(_, row)| row)
        .collect())
}

/// How much of a file there is before its first damaged line, if no step up to `last` comes after; else all.
fn needed(bytes: &[u8], last: u64) -> usize {
    let mut whole = None;
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Map<String, Value>>(line) {
            Err(_) => _ = whole.get_or_insert(at),
            Ok(row) => {
                let step = row.get("step").and_then(Value::as_f64);
                if whole.is_some() && step.is_some_and(|step| step <= last as f64) {
                    return bytes.len();
                }
            }
        }
        at += line.len();
    }
    whole.unwrap_or(bytes.len())
}

fn read_if_there(path: &Path) -> Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.with_context(|| format!("cannot read {}", path.display())),
    }
}

/// A line's bytes and the object it holds.
type Row<'a> = (&'a [u8], Map<String, Value>);

/// The whole lines of a file.
fn rows<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<Row<'a>>> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What follows the last line break is empty, or a line that a kill tore.
    let whole = &lines[..lines.len() - 1];
    let mut rows = Vec::with_capacity(whole.len());
    for (index, line) in whole.iter().enumerate() {
        match serde_json::from_slice(line) {
            Ok(row) => rows.push((*line, row)),
            Err(_) if index + 1 == whole.len() => break,
            Err(error) => bail!(anyhow!(
                "{}:{}: expected one JSON object a line ({error}); mend the line or remove the file",
                path.display(),
                index + 1
            )),
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(step: u64) -> Map<String, Value> {
        let Value::Object(row) = json!({"step": step, "loss": 0.5}) else {
            unreachable!()
        };
        row
    }

    fn steps(path: &Path) -> Vec<u64> {
        let rows = read_metrics(path).unwrap();
        rows.iter()
            .filter_map(|row| row.get("step").and_then(Value::as_u64))
            .collect()
    }

    #[test]
    fn a_resumed_run_drops_the_steps_it_will_take_again_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/metrics.jsonl");
        let mut metrics = Metrics::open(&path, 0).unwrap();
        for step in 1..=5 {
            metrics.write(&row(step)).unwrap();
        }
        drop(metrics);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"step\": 6, \"lo").unwrap();
        assert_eq!(steps(&path), [1, 2, 3, 4, 5]);

        let mut metrics = Metrics::open(&path, 3).unwrap();
        assert_eq!(steps(&path), [1, 2, 3]);
        metrics.write(&row(4)).unwrap();
        drop(metrics);
        assert_eq!(steps(&path), [1, 2, 3, 4]);
        Metrics::open(&path, 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn any_cut_of_the_file_leaves_the_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let whole = b"{\"step\":1}\n{\"step\":2}\n{\"eval\":3}\n";
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            Metrics::open(&path, 10).unwrap().write(&row(9)).unwrap();
            assert_eq!(
                read_metrics(&path).unwrap().len(),
                lines + 1,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_line_without_a_step_goes_with_the_line_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(
            &path,
            "{\"step\":1}\n{\"eval\":1}\n{\"step\":2}\n{\"eval\":2}\n",
        )
        .unwrap();
        Metrics::open(&path, 1).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"step\":1}\n{\"eval\":1}\n"
        );
    }

    #[test]
    fn damage_before_the_end_is_an_error_that_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\nnonsense\n{\"step\":3}\n").unwrap();
        let error = Metrics::open(&path, 5).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl:2:"), "{error}");
        assert!(fs::read_to_string(&path).unwrap().contains("nonsense"));
        // Steps that will be taken again need not be read.
        Metrics::open(&path, 2).unwrap();
        assert_eq!(steps(&path), [1]);
        fs::write(&path, "nonsense\n{\"step\":1}\n").unwrap();
        Metrics::open(&path, 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
