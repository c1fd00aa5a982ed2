//! Models and data from a hub of Hugging Face's kind, through the cache that `huggingface_hub` keeps; and models back to it.
//!
//! A [`Name`] is first pinned to a commit ([`Hub::pin`]), of which stages' identities are made, and fetched when it is due
//! ([`Hub::fetch`]). What was pinned and fetched once needs no network.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod cache;
mod choose;
mod digest;
mod error;
mod fetch;
mod name;
mod push;
mod settings;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rapport_store::{Stop, Stopped, read_regular, say};
use serde::Deserialize;

pub use choose::Wanted;
pub use error::{HubError, Why};
pub use name::{Name, Repo, SCHEME};
pub use push::{Push, Pushed};
pub use settings::{Settings, Token};

use cache::Kept;
use error::Trouble;
use name::{check_file, is_commit, quoted};
use wire::{Method, Wire};

/// The revision of a name that has none.
const MAIN: &str = "main";

/// A file that no folder has: that it is known to be absent says that all the others were fetched.
const WHOLE: &str = ".whole";

/// A hub and its cache.
pub struct Hub {
    wire: Wire,
    cache: PathBuf,
    /// The files of repositories by commit, as far as the hub was asked.
    listings: Mutex<BTreeMap<(Repo, String), BTreeSet<String>>>,
}

/// What a hub says of a repository.
struct Info {
    commit: String,
    listing: Option<BTreeSet<String>>,
}

impl Hub {
    /// # Errors
    /// A token that no request can carry.
    pub fn new(settings: &Settings) -> Result<Self> {
        Ok(Self {
            wire: Wire::new(settings)?,
            cache: settings.cache.clone(),
            listings: Mutex::default(),
        })
    }

    /// The hub that the environment names.
    ///
    /// # Errors
    /// A variable that cannot be used.
    pub fn from_env() -> Result<Self> {
        Self::new(&Settings::from_env()?)
    }

    /// The same name with the commit that its revision is now. Where the hub cannot be asked or gives no answer, it is
    /// what it was when it was last asked for, and that is said.
    ///
    /// # Errors
    /// [`HubError`], and [`Stopped`].
    pub fn pin(&self, name: &Name, stop: &Stop) -> Result<Name> {
        let revision = name.revision.as_deref().unwrap_or(MAIN);
        if is_commit(revision) {
            return Ok(name.clone());
        }
        let kept = Kept::new(&self.cache, &name.repo);
        let known = kept.commit(revision);
        if self.wire.offline {
            let known = known.map(|commit| name.at(&commit));
            return known.ok_or_else(|| Wire::unasked(name).into());
        }
        match self.info(&name.repo, revision, stop) {
            Ok(info) => {
                kept.remember(revision, &info.commit)?;
                Ok(name.at(&info.commit))
            }
            Err(error) if error.is::<Stopped>() || error::is(&error, Why::NoRevision) => Err(error),
            Err(error) => match known {
                Some(commit) => {
                    say(&format!(
                        "{error:#}; {name} is taken as it was when it was last asked for, commit {commit}"
                    ));
                    Ok(name.at(&commit))
                }
                None => Err(error),
            },
        }
    }

    /// Where a pinned name's files lie, fetched or not.
    ///
    /// # Panics
    /// When the name is not pinned: a mistake in the program.
    pub fn place(&self, name: &Name) -> PathBuf {
        let folder = Kept::new(&self.cache, &name.repo).snapshot(commit_of(name));
        match &name.file {
            Some(file) => folder.join(file),
            None => folder,
        }
    }

    /// Fetches what of a pinned name is wanted and not in the cache, and returns where it lies.
    ///
    /// # Errors
    /// [`HubError`], [`Stopped`], and those of the disk.
    pub fn fetch(&self, name: &Name, wanted: Wanted, stop: &Stop) -> Result<PathBuf> {
        let commit = commit_of(name);
        let kept = Kept::new(&self.cache, &name.repo);
        if self.settled(&kept, name, wanted) {
            return Ok(self.place(name));
        }
        if wanted == Wanted::Data {
            self.wire.online(name)?;
        }
        let listing = match self.wire.offline {
            true => below(&kept.snapshot(commit)),
            false => self.listing(&name.repo, commit, stop)?,
        };
        let files = match choose::choose(name, wanted, &listing) {
            Err(_) if self.wire.offline => return Err(Wire::unasked(name).into()),
            files => files?,
        };
        let one = |file: &str| {
            let wanted = fetch::Wanted {
                repo: &name.repo,
                commit,
                file,
            };
            fetch::fetch(&self.wire, &kept, &wanted, stop)
        };
        for file in &files {
            one(file)?;
        }
        let index = files.iter().find(|file| file.ends_with(choose::INDEX));
        if let Some(index) = index {
            for shard in self.shards(&kept, name, index)? {
                one(&shard)?;
            }
        }
        if !self.wire.offline {
            let data = (wanted == Wanted::Data).then_some(WHOLE);
            let all = choose::fixed(wanted).into_iter().chain(data);
            let all = all.map(|file| name.inside(file));
            for file in all.filter(|file| !listing.contains(file)) {
                kept.note_absent(commit, &file);
            }
        }
        Ok(self.place(name))
    }

    /// Whether what is wanted is in the cache, as far as that can be told without asking.
    pub fn is_here(&self, name: &Name, wanted: Wanted) -> bool {
        let kept = Kept::new(&self.cache, &name.repo);
        match wanted {
            Wanted::Data => self.settled(&kept, name, wanted),
            _ => self.complete(&kept, name, wanted),
        }
    }

    /// Whether all that is wanted is in the cache, or known not to be there.
    fn settled(&self, kept: &Kept, name: &Name, wanted: Wanted) -> bool {
        let commit = commit_of(name);
        if wanted == Wanted::Data {
            let file = name
                .file
                .as_ref()
                .is_some_and(|file| kept.has(commit, file));
            return file || kept.lacks(commit, &name.inside(WHOLE));
        }
        let known = |file: &&str| {
            let file = name.inside(file);
            kept.has(commit, &file) || kept.lacks(commit, &file)
        };
        // One file of weights is taken before shards, whose index is not fetched then.
        let whole = name.inside("model.safetensors");
        let mut fixed = choose::fixed(wanted);
        if kept.has(commit, &whole) {
            fixed.retain(|file| *file != choose::INDEX);
        }
        fixed.iter().all(known) && self.complete(kept, name, wanted)
    }

    /// Whether what there is makes what is wanted.
    fn complete(&self, kept: &Kept, name: &Name, wanted: Wanted) -> bool {
        let commit = commit_of(name);
        let present: BTreeSet<String> = below(&kept.snapshot(commit));
        let Ok(files) = choose::choose(name, wanted, &present) else {
            return false;
        };
        let index = files.iter().find(|file| file.ends_with(choose::INDEX));
        index.is_none_or(|index| {
            let shards = self.shards(kept, name, index).unwrap_or_default();
            !shards.is_empty() && shards.iter().all(|shard| kept.has(commit, shard))
        })
    }

    fn shards(&self, kept: &Kept, name: &Name, index: &str) -> Result<BTreeSet<String>> {
        const LARGEST: u64 = 64 << 20;
        let path = kept.snapshot(commit_of(name)).join(index);
        choose::shards(name, &read_regular(&path, LARGEST)?)
    }

    fn listing(&self, repo: &Repo, commit: &str, stop: &Stop) -> Result<BTreeSet<String>> {
        // A panic elsewhere leaves the map as it was.
        let known = || self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listing) = known().get(&(repo.clone(), commit.to_owned())) {
            return Ok(listing.clone());
        }
        let info = self.info(repo, commit, stop)?;
        info.listing
            .with_context(|| format!("{repo}: the hub does not say which files it has"))
    }

    /// Asks what a revision is.
    fn info(&self, repo: &Repo, revision: &str, stop: &Stop) -> Result<Info> {
        let what = Name {
            repo: repo.clone(),
            file: None,
            revision: Some(revision.to_owned()),
        };
        self.wire.online(&what)?;
        let info = self.wire.retry(stop, || self.ask_info(&what, revision))?;
        if let Some(listing) = &info.listing {
            let key = (repo.clone(), info.commit.clone());
            let mut known = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(key, listing.clone());
        }
        Ok(info)
    }

    fn ask_info(&self, what: &Name, revision: &str) -> Result<Info, Trouble> {
        #[derive(Deserialize)]
        struct Told {
            sha: Option<String>,
            siblings: Option<Vec<Sibling>>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let address = format!(
            "{}/api/{}/revision/{}",
            self.wire.endpoint,
            what.repo.api(),
            quoted(revision, false)
        );
        let answer = self.wire.ask(Method::Get, &address, &[])?;
        if !self.wire.is_hub(&answer.address) {
            return Err(Trouble::last(
                Why::Wrong,
                format!("{what}: another host answers for the hub"),
            ));
        }
        let response = self.wire.good(what, &answer.address, answer.response)?;
        let told: Told = self.wire.json(what, &answer.address, response)?;
        let Some(commit) = told.sha.filter(|sha| is_commit(sha)) else {
            return Err(Trouble::last(
                Why::Wrong,
                format!("{what}: the hub does not say which commit it is"),
            ));
        };
        if is_commit(revision) && commit != revision {
            return Err(Trouble::last(
                Why::Wrong,
                format!("{what}: the hub answers for commit {commit}"),
            ));
        }
        // A name that leads out of the cache is left out, so that it is nothing to fetch.
        let files = told.siblings.map(|siblings| {
            let names = siblings.into_iter().map(|sibling| sibling.rfilename);
            names.filter(|name| check_file(name).is_ok()).collect()
        });
        Ok(Info {
            commit,
            listing: files,
        })
    }
}

fn commit_of(name: &Name) -> &str {
    let revision = name.revision.as_deref().filter(|it| is_commit(it));
    revision.expect("a name that is pinned")
}

/// The files below a folder, by their paths in it.
fn below(folder: &Path) -> BTreeSet<String> {
    fn collect(root: &Path, folder: &Path, depth: usize, found: &mut BTreeSet<String>) {
        const DEEPEST: usize = 16;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && depth < DEEPEST {
                collect(root, &path, depth + 1, found);
            } else if path.is_file() {
                let name = path.strip_prefix(root).ok().and_then(Path::to_str);
                found.extend(name.map(str::to_owned));
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(folder, folder, 0, &mut found);
    found
}
