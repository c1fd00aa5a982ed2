//! A folder of the user's in which some files are ours: what we wrote is replaced, what anyone else wrote is not.
//!
//! `.rapport.json` in the folder holds the names that are ours and what was last written under them; one in a folder
//! that was copied there names the artifact and seals its files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::seal::{read_sealed_dir, seal_dir, write_sealed};
use super::{BadInput, Hash, hash_bytes, hash_file, read_json, say, write_atomic, write_json};

const MARK: &str = ".rapport.json";

/// What to do with a file that is in the way and was never ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It is bad input.
    Refuse,
    /// It is renamed.
    SetAside,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Owned {
    dir: PathBuf,
}

/// The names that are ours, each with the hashes of what may stand there: what was written last, and what it was to
/// replace if a kill came between.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Mark {
    files: BTreeMap<String, Vec<Hash>>,
}

impl Owned {
    /// The folder at `dir`, in which `files` and `folders` are to be ours; nothing is made or written yet.
    ///
    /// # Errors
    /// [`BadInput`] where `dir` is no folder, or, where they are refused, where something under one of the names is
    /// not ours.
    pub fn check(
        dir: impl Into<PathBuf>,
        files: &[&str],
        folders: &[&str],
        foreign: Foreign,
    ) -> Result<Self> {
        let owned = Self { dir: dir.into() };
        let at = owned.dir.display();
        if owned.dir.symlink_metadata().is_ok() && !owned.dir.is_dir() {
            return Err(BadInput(format!("{at} is no folder; name another with --out")).into());
        }
        if foreign == Foreign::SetAside {
            return Ok(owned);
        }
        let mark = owned.mark();
        let known = |name: &&&str| !mark.files.contains_key(**name);
        let not_ours = files.iter().filter(known);
        let copied = |name: &&&str| !owned.dir.join(name).join(MARK).is_file();
        let mut not_ours = not_ours.chain(folders.iter().filter(copied));
        let there = |name: &&&str| owned.dir.join(name).symlink_metadata().is_ok();
        if let Some(name) = not_ours.find(there) {
            return Err(BadInput(format!(
                "{at} has a {name} that Rapport did not write, and the run would replace it; move it away, or name \
                 another folder with --out"
            ))
            .into());
        }
        Ok(owned)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file. What stands there and is not what was last written is renamed first, and said so.
    ///
    /// # Errors
    /// When it cannot be written; then the old file is as it was.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let _lock = self.lock()?;
        let path = self.dir.join(name);
        let mut mark = self.mark();
        let mut hashes = vec![hash_bytes(bytes)];
        if path.symlink_metadata().is_ok() {
            let ours = mark.files.get(name).map_or(&[][..], Vec::as_slice);
            // A link is never ours.
            let there = match path.is_symlink() {
                true => None,
                false => hash_file(&path).ok(),
            };
            match there.filter(|there| ours.contains(there)) {
                Some(there) => hashes.push(there),
                None => self.set_aside(name)?,
            }
        }
        mark.files.insert(name.into(), hashes);
        write_json(&self.dir.join(MARK), &mark)?;
        write_atomic(&path, bytes)
    }

    /// Puts a copy of the folder `from` of an artifact under `name`. One of the same artifact that is there already
    /// stays as it is, whatever was made of it since; another is replaced, but renamed where it was changed.
    ///
    /// # Errors
    /// When it cannot be copied; then what stood there is as it was.
    pub fn copy(&self, name: &str, from: &Path, artifact: &str) -> Result<()> {
        let _lock = self.lock()?;
        let (to, new) = (self.dir.join(name), self.dir.join(format!(".{name}.new")));
        let record: Option<Value> = match to.is_symlink() {
            true => None,
            false => read_json(&to.join(MARK)).ok(),
        };
        if record.is_some_and(|record| record["artifact"] == artifact) {
            return Ok(());
        }
        remove(&new)?;
        copy_dir(from, &new)?;
        let seals = seal_dir(&new, MARK)?;
        write_sealed(&new.join(MARK), &json!({"artifact": artifact}), &seals)?;
        if to.symlink_metadata().is_ok() {
            match read_sealed_dir::<Value>(&to.join(MARK)) {
                Ok(_) if !to.is_symlink() => remove(&to)?,
                _ => self.set_aside(name)?,
            }
        }
        fs::rename(&new, &to).with_context(|| format!("cannot put {} in place", to.display()))
    }

    /// Renames what stands under a name.
    fn set_aside(&self, name: &str) -> Result<()> {
        let path = self.dir.join(name);
        let mut names = (1..).map(|number| self.dir.join(format!("{name}.old-{number}")));
        let free = names.find(|to| to.symlink_metadata().is_err());
        let to = free.ok_or_else(|| anyhow!("{} has no free name", path.display()))?;
        fs::rename(&path, &to).with_context(|| format!("cannot rename {}", path.display()))?;
        say(&format!(
            "{} is not as Rapport wrote it; it is kept as {}",
            path.display(),
            to.display()
        ));
        Ok(())
    }

    fn mark(&self) -> Mark {
        // Without a mark that can be read, nothing is ours: files are renamed rather than lost.
        read_json(&self.dir.join(MARK)).unwrap_or_default()
    }

    /// Keeps others that write here out until dropped, where the file system has locks.
    fn lock(&self) -> Result<File> {
        let what = || format!("cannot make {}", self.dir.display());
        fs::create_dir_all(&self.dir).with_context(what)?;
        let dir = File::open(&self.dir).with_context(what)?;
        if let Err(error) = dir.lock() {
            tracing::debug!("{}: no lock: {error}", self.dir.display());
        }
        Ok(dir)
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Copies a folder with all in it; links are followed. The copies share their space with the originals where the
/// file system can (`fs::copy` asks it to), and are files of their own all the same.
fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let what = || format!("cannot read {}", from.display());
    for entry in fs::read_dir(from).with_context(what)? {
        let entry = entry.with_context(what)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_dir(&source, &target)?;
        } else {
            fs::copy(&source, &target)
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 2] = ["recipe.toml", "report.html"];

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    fn open(dir: &Path) -> Result<Owned> {
        Owned::check(dir, &FILES, &["model"], Foreign::Refuse)
    }

    #[test]
    fn what_is_not_ours_is_refused_and_nothing_is_touched() {
        let work = tempfile::tempdir().unwrap();
        let dir = work.path().join("out");
        open(&dir).unwrap();
        assert!(!dir.exists(), "a check makes nothing");
        for name in ["recipe.toml", "report.html", "model/config.json"] {
            let file = dir.join(name);
            write_atomic(&file, b"the user's").unwrap();
            let error = open(&dir).unwrap_err();
            assert!(error.is::<BadInput>(), "{error:#}");
            let top = name.split('/').next().unwrap();
            assert!(error.to_string().contains(top), "{error:#}");
            assert_eq!(fs::read(&file).unwrap(), b"the user's");
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::symlink("/nowhere", dir.join("model")).unwrap();
        assert!(open(&dir).is_err(), "not even where it leads nowhere");
        let file = work.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(open(&file).unwrap_err().is::<BadInput>());
    }

    #[test]
    fn ours_is_replaced_and_what_was_made_of_it_is_kept() {
        let work = tempfile::tempdir().unwrap();
        let owned = open(work.path()).unwrap();
        owned.write("recipe.toml", b"1").unwrap();
        owned.write("recipe.toml", b"2").unwrap();
        assert_eq!(names(work.path()), ["recipe.toml"]);
        let path = work.path().join("recipe.toml");
        fs::write(&path, b"edited").unwrap();
        let owned = open(work.path()).unwrap();
        owned.write("recipe.toml", b"3").unwrap();
        assert_eq!(names(work.path()), ["recipe.toml", "recipe.toml.old-1"]);
        assert_eq!(fs::read(&path).unwrap(), b"3");
        assert_eq!(
            fs::read(work.path().join("recipe.toml.old-1")).unwrap(),
            b"edited"
        );
        // What stands there when the place is ours by name, as another version left it, is kept too.
        let owned = Owned::check(work.path(), &FILES, &[], Foreign::SetAside).unwrap();
        fs::write(work.path().join("report.html"), b"old").unwrap();
        owned.write("report.html", b"new").unwrap();
        assert!(names(work.path()).contains(&"report.html.old-1".to_owned()));
    }

    #[test]
    fn a_copied_folder_stays_until_another_artifact_comes_and_then_only_if_it_is_unchanged() {
        let work = tempfile::tempdir().unwrap();
        let (from, out) = (work.path().join("a"), work.path().join("out"));
        write_atomic(&from.join("config.json"), b"{}").unwrap();
        write_atomic(&from.join("sub/w"), b"w").unwrap();
        let copy = |artifact: &str| open(&out).unwrap().copy("model", &from, artifact).unwrap();
        copy("sft-1");
        let config = out.join("model/config.json");
        assert!(out.join("model/sub/w").exists());
        fs::write(&config, b"edited").unwrap();
        assert_eq!(
            fs::read(from.join("config.json")).unwrap(),
            b"{}",
            "a copy, no link"
        );
        copy("sft-1");
        assert_eq!(fs::read(&config).unwrap(), b"edited");
        copy("sft-2");
        assert_eq!(fs::read(&config).unwrap(), b"{}");
        assert_eq!(
            fs::read(out.join("model.old-1/config.json")).unwrap(),
            b"edited"
        );
        copy("sft-3");
        assert_eq!(names(&out), ["model", "model.old-1"]);
    }
}
