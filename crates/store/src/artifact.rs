//! Finished work, once each, under a folder named by its kind and content hash.
//!
//! `ROOT/KIND-HASH/` is finished and holds `artifact.json`, which names the size and content of every other file:
//! an artifact is read through when this process first meets it, and one that is damaged is set aside as
//! `ROOT/KIND-HASH.invalid/` and made anew. `ROOT/KIND-HASH.partial/` is under
//! way, or was when its process was killed: its checkpoints are kept, so the next process goes on
//! from them. `ROOT/.locks/KIND-HASH` is held (`flock`) by the process at work; the lock ends with
//! its process, so a kill leaves nothing to clear.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::atomic::{UNFINISHED, sync_dir};
use super::seal::{read_sealed_dir, seal_dir, write_sealed};
use super::{Hash, Stop, read_json, say};

pub(super) const MANIFEST: &str = "artifact.json";

/// Endings of folders that are no finished artifacts.
pub(super) const PARTIAL: &str = "partial";
pub(super) const ASIDE: &str = "invalid";

/// What an artifact is and how it came about: its `artifact.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Stage kind, or the name of a side product's kind.
    pub kind: String,
    /// Name of the stage in the recipe that first made it, for people.
    pub name: String,
    /// Identity: everything that determines the content.
    pub hash: Hash,
    /// The identity of each input, by the name the recipe gives it.
    pub inputs: BTreeMap<String, Hash>,
    /// Every setting, defaults included.
    pub settings: Value,
    /// Compute backend it was made on.
    pub backend: String,
    /// Seconds that the process that finished it spent, other stages running beside it or not.
    pub seconds: f64,
    /// When it was finished, in Unix seconds.
    pub created: u64,
}

impl Manifest {
    /// Reads the manifest of a finished artifact.
    ///
    /// # Errors
    /// When `dir` has no valid `artifact.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        read_json(&dir.join(MANIFEST))
    }

    /// The present time, for `created`.
    pub fn now() -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}

/// All artifacts under one root folder.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    /// Those that this process has made or read through.
    whole: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// What there is of an artifact.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Absent,
    /// It is finished and all its files are what was written.
    Whole(PathBuf),
    /// It is finished, but not as it was written: which file, and how.
    Damaged(String),
}

/// What [`Store::begin`] found.
#[derive(Debug)]
pub enum Begun {
    /// It is finished, perhaps by another process while we waited; its folder.
    Finished(PathBuf),
    /// It is ours to make.
    Work(Work),
}

impl Store {
    /// Opens the store at `root`, creating the folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let locks = root.join(".locks");
        fs::create_dir_all(&locks).with_context(|| format!("cannot make {}", locks.display()))?;
        Ok(Self {
            root,
            whole: Arc::default(),
        })
    }

    /// The folder of all artifacts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that the artifact has, or will have.
    pub fn path(&self, kind: &str, hash: &Hash) -> PathBuf {
        self.root.join(format!("{kind}-{hash}"))
    }

    /// What there is of an artifact. Its files are read through the first time.
    pub fn look(&self, kind: &str, hash: &Hash) -> Found {
        let path = self.path(kind, hash);
        if path.symlink_metadata().is_err() {
            return Found::Absent;
        }
        // A panic elsewhere leaves the set as it was.
        let known = || self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&path) {
            return Found::Whole(path);
        }
        match read_sealed_dir::<Manifest>(&path.join(MANIFEST)) {
            Ok(manifest) if manifest.kind == kind && manifest.hash == *hash => {
                known().insert(path.clone());
                Found::Whole(path)
            }
            Ok(_) => Found::Damaged(format!("{MANIFEST} is of another artifact")),
            Err(error) => Found::Damaged(format!("{error:#}")),
        }
    }

    /// The folder of the finished artifact, if there is one and it is whole.
    pub fn find(&self, kind: &str, hash: &Hash) -> Option<PathBuf> {
        match self.look(kind, hash) {
            Found::Whole(path) => Some(path),
            Found::Absent | Found::Damaged(_) => None,
        }
    }

    /// Takes the artifact's lock to make it, or finds it finished.
    ///
    /// While another process, or another stage of this one, is at work on it, says so on stderr and waits.
    ///
    /// # Errors
    /// [`super::Stopped`] when a stop is asked for while waiting, and file system errors.
    pub fn begin(&self, kind: &str, hash: &Hash, stop: &Stop) -> Result<Begun> {
        if let Some(path) = self.find(kind, hash) {
            return Ok(Begun::Finished(path));
        }
        let name = format!("{kind}-{hash}");
        let lock = take_lock(&self.root.join(".locks").join(&name), &name, stop)?;
        match self.look(kind, hash) {
            Found::Whole(path) => return Ok(Begun::Finished(path)),
            Found::Absent => {}
            Found::Damaged(why) => {
                let aside = set_aside(&self.path(kind, hash))?;
                say(&format!(
                    "{name}: {why}; it is set aside as {} and made anew",
                    aside.display()
                ));
            }
        }
        let dir = self.root.join(format!("{name}.{PARTIAL}"));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        sweep(&dir)?;
        Ok(Begun::Work(Work {
            path: self.path(kind, hash),
            dir,
            hash: hash.clone(),
            kind: kind.into(),
            whole: self.whole.clone(),
            _lock: lock,
        }))
    }
}

fn take_lock(path: &Path, name: &str, stop: &Stop) -> Result<File> {
    let what = || format!("cannot lock {}", path.display());
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(what)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    say(&format!("{name} is being made elsewhere; waiting for it"));
                    told = true;
                }
                stop.check()?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| {
                    format!(
                        "{}: keep the runs folder on a file system with locks",
                        what()
                    )
                });
            }
        }
    }
}

/// Moves what is at the place of an artifact and is none out of the way, in place of what was moved there before.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = path.with_extension(ASIDE);
    let what = || format!("cannot set {} aside", path.display());
    if aside.is_dir() {
        fs::remove_dir_all(&aside).with_context(what)?;
    } else if aside.symlink_metadata().is_ok() {
        fs::remove_file(&aside).with_context(what)?;
    }
    fs::rename(path, &aside).with_context(what)?;
    Ok(aside)
}

/// Removes what a killed [`super::write_atomic`] left; called under the lock only.
fn sweep(dir: &Path) -> Result<()> {
    for (path, is_dir) in entries(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_dir {
            sweep(&path)?;
        } else if name.starts_with('.') && name.ends_with(UNFINISHED) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Removes hidden files, which are no part of an artifact: what a stage noted for itself to go on from.
fn remove_hidden(dir: &Path) -> Result<()> {
    for (path, is_dir) in entries(dir)? {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if is_dir {
            remove_hidden(&path)?;
        } else if name.starts_with(b".") {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Syncs every file and folder, so that the rename which publishes them does not come first.
fn sync_tree(dir: &Path) -> Result<()> {
    for (path, is_dir) in entries(dir)? {
        if is_dir {
            sync_tree(&path)?;
        } else {
            File::open(&path)
                .and_then(|file| file.sync_all())
                .with_context(|| format!("cannot sync {}", path.display()))?;
        }
    }
    sync_dir(dir)
}

/// The entries of a folder and whether each is a folder itself (links are not followed).
pub(super) fn entries(dir: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let list = || -> std::io::Result<Vec<_>> {
        fs::read_dir(dir)?
            .map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir()))))
            .collect()
    };
    list().with_context(|| format!("cannot read {}", dir.display()))
}

/// An artifact under way: the folder to fill, under an exclusive lock until dropped.
#[derive(Debug)]
pub struct Work {
    kind: String,
    hash: Hash,
    dir: PathBuf,
    path: PathBuf,
    whole: Arc<Mutex<BTreeSet<PathBuf>>>,
    _lock: File,
}

impl Work {
    /// The folder to work in. It may hold what an earlier, killed process saved there.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Publishes the folder as the finished artifact and returns its final path.
    ///
    /// # Errors
    /// A manifest of another artifact, or file system errors; then nothing is published and the
    /// work is kept.
    pub fn finish(self, manifest: &Manifest) -> Result<PathBuf> {
        if manifest.kind != self.kind || manifest.hash != self.hash {
            bail!(
                "the manifest is of {}-{}, not of {}",
                manifest.kind,
                manifest.hash,
                self.path.display()
            );
        }
        sweep(&self.dir)?;
        let files = seal_dir(&self.dir, MANIFEST)?;
        write_sealed(&self.dir.join(MANIFEST), manifest, &files)?;
        remove_hidden(&self.dir)?;
        sync_tree(&self.dir)?;
        fs::rename(&self.dir, &self.path)
            .with_context(|| format!("cannot publish {}", self.path.display()))?;
        let root = self
            .path
            .parent()
            .ok_or_else(|| anyhow!("the store has no folder"))?;
        sync_dir(root)?;
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.insert(self.path.clone());
        Ok(self.path)
    }
}

#[cfg(test)]
mod tests;
