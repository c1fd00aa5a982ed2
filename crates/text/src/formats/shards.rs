//! The files of a folder that together are one set of rows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rapport_store::BadInput;

/// Endings of files of rows, and those that one of them may have after it.
const ENDINGS: [&str; 6] = ["parquet", "jsonl", "json", "ndjson", "csv", "tsv"];
const PACKED: [&str; 2] = ["gz", "zst"];

/// What the files of each split are named by, as `datasets` knows them.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("valid", &["validation", "valid", "dev", "val", "eval"]),
    ("test", &["test", "testing", "evaluation"]),
];

/// A file itself; of a folder, or its `data`, the files of rows in the order of their names: those of the split, where
/// names say so.
///
/// # Errors
/// A folder that cannot be read or has no such files; one with files of several splits, where none is asked for.
pub fn files(path: &Path, split: Option<&str>) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = of(path)?;
    if found.is_empty() && path.join("data").is_dir() {
        found = of(&path.join("data"))?;
    }
    let shown = path.display();
    if found.is_empty() {
        let endings = ENDINGS.join(", .");
        return Err(BadInput(format!(
            "{shown}: no file of rows in this folder (.{endings})"
        ))
        .into());
    }
    let mut splits: Vec<&str> = found.iter().filter_map(|it| split_of(it)).collect();
    splits.sort_unstable();
    splits.dedup();
    match split {
        Some(split) if !splits.is_empty() => {
            found.retain(|it| split_of(it) == Some(split));
            match found.is_empty() {
                true => Err(BadInput(format!(
                    "{shown}: the files are of the splits {splits:?}; none is of {split}"
                ))
                .into()),
                false => Ok(found),
            }
        }
        None if splits.len() > 1 => Err(BadInput(format!(
            "{shown}: the files are of several splits, {splits:?}; name one of the files"
        ))
        .into()),
        _ => Ok(found),
    }
}

fn of(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        let mut parts = name.rsplit('.');
        let mut ending = parts.next().unwrap_or_default();
        if PACKED.contains(&ending) {
            ending = parts.next().unwrap_or_default();
        }
        if ENDINGS.contains(&ending) && !name.starts_with('.') && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The split whose name a file's begins with.
fn split_of(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let first: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
    let mut splits = SPLITS.iter();
    splits
        .find(|(_, names)| names.contains(&&*first))
        .map(|(split, _)| *split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_files_of_one_split() {
        let dir = tempfile::tempdir().unwrap();
        let names = |split: Option<&str>| {
            files(dir.path(), split).map(|files| {
                let name = |it: &PathBuf| it.file_name().unwrap().to_str().unwrap().to_owned();
                files.iter().map(name).collect::<Vec<_>>()
            })
        };
        fs::write(dir.path().join("README.md"), "").unwrap();
        assert!(
            names(None)
                .unwrap_err()
                .to_string()
                .contains("no file of rows")
        );
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        for name in [
            "train-00001-of-00002.parquet",
            "train-00000-of-00002.parquet",
        ] {
            fs::write(data.join(name), "").unwrap();
        }
        let train = [
            "train-00000-of-00002.parquet",
            "train-00001-of-00002.parquet",
        ];
        assert_eq!(names(None).unwrap(), train);
        fs::write(data.join("validation.jsonl.gz"), "").unwrap();
        assert_eq!(names(Some("train")).unwrap(), train);
        assert_eq!(names(Some("valid")).unwrap(), ["validation.jsonl.gz"]);
        assert!(
            names(Some("test"))
                .unwrap_err()
                .to_string()
                .contains("none is of test")
        );
        assert!(
            names(None)
                .unwrap_err()
                .to_string()
                .contains("several splits")
        );
        let file = data.join("validation.jsonl.gz");
        assert_eq!(files(&file, Some("train")).unwrap(), [file]);
    }
}
