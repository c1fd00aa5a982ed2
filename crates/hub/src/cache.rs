//! The cache of `huggingface_hub`, which it shares: `REPO/blobs/ETAG` holds content, `REPO/snapshots/COMMIT/FILE` is a link to
//! it, `REPO/refs/REVISION` holds the commit that a revision was when it was last asked for, `REPO/.no_exist/COMMIT/FILE`
//! says that a commit has no such file, and `.locks/REPO/ETAG.lock` is held while a blob is fetched.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hf_hub::{Cache, CacheRepo, Repo as Named, RepoType};
use rapport_store::{Stop, say, write_atomic};

use super::digest::Etag;
use super::name::{Repo, is_commit};

/// A repository's part of the cache.
pub(crate) struct Kept {
    root: PathBuf,
    named: CacheRepo,
    /// `models--ORG--NAME`.
    folder: String,
}

impl Kept {
    pub fn new(root: &Path, repo: &Repo) -> Self {
        let kind = match repo.dataset {
            true => RepoType::Dataset,
            false => RepoType::Model,
        };
        let named = Named::new(repo.id.clone(), kind);
        Self {
            root: root.to_owned(),
            folder: named.folder_name(),
            named: Cache::new(root.to_owned()).repo(named),
        }
    }

    fn repo(&self) -> PathBuf {
        self.root.join(&self.folder)
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.named.pointer_path(commit)
    }

    pub fn blob(&self, etag: &Etag) -> PathBuf {
        self.repo().join("blobs").join(&etag.0)
    }

    /// Where the first part of a blob is kept.
    pub fn incomplete(&self, etag: &Etag) -> PathBuf {
        self.repo()
            .join("blobs")
            .join(format!("{}.incomplete", etag.0))
    }

    /// The commit that a revision was when it was last asked for.
    pub fn commit(&self, revision: &str) -> Option<String> {
        let path = self.repo().join("refs").join(revision);
        let commit = fs::read_to_string(path).ok()?.trim().to_owned();
        is_commit(&commit).then_some(commit)
    }

    /// Remembers what a revision is.
    pub fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        match revision != commit && self.commit(revision).as_deref() != Some(commit) {
            true => write_atomic(&self.repo().join("refs").join(revision), commit.as_bytes()),
            false => Ok(()),
        }
    }

    /// Whether the file is there.
    pub fn has(&self, commit: &str, file: &str) -> bool {
        self.snapshot(commit).join(file).is_file()
    }

    fn absent(&self, commit: &str, file: &str) -> PathBuf {
        self.repo().join(".no_exist").join(commit).join(file)
    }

    /// Whether it is known that the commit has no such file.
    pub fn lacks(&self, commit: &str, file: &str) -> bool {
        self.absent(commit, file).is_file()
    }

    /// Remembers that the commit has no such file, unless the cache is another's that cannot be written to: the hub can be
    /// asked again.
    pub fn note_absent(&self, commit: &str, file: &str) {
        if !self.lacks(commit, file) {
            let _ = write_atomic(&self.absent(commit, file), b"");
        }
    }

    /// Makes the commit's file a link to the blob.
    pub fn link(&self, commit: &str, file: &str, etag: &Etag) -> Result<()> {
        let link = self.snapshot(commit).join(file);
        let folder = link.parent().unwrap_or(Path::new("."));
        let cannot = || format!("cannot link {}", link.display());
        fs::create_dir_all(folder).with_context(cannot)?;
        let up = "../".repeat(2 + file.split('/').count() - 1);
        let target = format!("{up}blobs/{}", etag.0);
        let hidden = folder.join(format!(".{}.{}", etag.0, std::process::id()));
        match fs::remove_file(&hidden) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(cannot);
            }
            _ => {}
        }
        symlink(target, &hidden).with_context(cannot)?;
        fs::rename(&hidden, &link).with_context(cannot)
    }

    /// Waits until no other process fetches the blob, and keeps others from it until the lock is dropped.
    pub fn lock(&self, etag: &Etag, stop: &Stop) -> Result<File> {
        let path = self.root.join(".locks").join(&self.folder);
        let cannot = || format!("cannot lock {}", path.display());
        fs::create_dir_all(&path).with_context(cannot)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(format!("{}.lock", etag.0)))
            .with_context(cannot)?;
        let mut told = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
            }
            stop.check()?;
            if told.elapsed() > Duration::from_secs(10) {
                say(&format!(
                    "{}: another process fetches this file; waiting for it",
                    self.folder
                ));
                told = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
