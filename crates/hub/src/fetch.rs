//! One file, from the hub into the cache: resumed where it was left, held to its size and hash, and there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use rapport_store::{Progress, Stop};

use super::cache::Kept;
use super::digest::{Check, Etag};
use super::error::{Trouble, Why};
use super::name::{Repo, quoted};
use super::wire::{Method, TRIES, Wire, text};

/// The largest file whose size no server tells.
const UNSIZED: u64 = 1 << 30;

/// What is worth a progress line.
const SHOWN: u64 = 8 << 20;

/// One file of a commit.
pub(crate) struct Wanted<'a> {
    pub repo: &'a Repo,
    pub commit: &'a str,
    pub file: &'a str,
}

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.repo, self.file, self.commit)
    }
}

/// What the hub says of a file.
struct Described {
    address: String,
    etag: Etag,
    size: Option<u64>,
}

/// Brings a file into the cache, unless it is there.
///
/// # Errors
/// [`rapport_store::Stopped`], [`super::HubError`], and those of the disk. What came so far is kept.
pub(crate) fn fetch(wire: &Wire, kept: &Kept, wanted: &Wanted<'_>, stop: &Stop) -> Result<()> {
    if kept.has(wanted.commit, wanted.file) {
        return Ok(());
    }
    wire.online(wanted)?;
    let described = wire.retry(stop, || describe(wire, wanted))?;
    let blob = kept.blob(&described.etag);
    let whole = |blob: &Path| {
        let length = fs::metadata(blob).ok().map(|about| about.len());
        length.is_some_and(|length| described.size.is_none_or(|size| size == length))
    };
    let _lock = kept.lock(&described.etag, stop)?;
    if !whole(&blob) {
        let incomplete = kept.incomplete(&described.etag);
        download(wire, wanted, &described, &incomplete, stop)?;
        fs::rename(&incomplete, &blob)
            .with_context(|| format!("cannot write {}", blob.display()))?;
    }
    kept.link(wanted.commit, wanted.file, &described.etag)
}

fn describe(wire: &Wire, wanted: &Wanted<'_>) -> Result<Described, Trouble> {
    let address = format!(
        "{}/{}/resolve/{}/{}",
        wire.endpoint,
        wanted.repo.path(),
        wanted.commit,
        quoted(wanted.file, true)
    );
    let answer = wire.ask(Method::Head, &address, &[])?;
    let sent_on = answer.response.status().is_redirection();
    let response = match sent_on {
        true => answer.response,
        false => wire.good(wanted, &answer.address, answer.response)?,
    };
    let headers = &answer.hub;
    if let Some(commit) = text(headers, "X-Repo-Commit").filter(|commit| *commit != wanted.commit) {
        let commit = wire.shown(commit);
        return Err(Trouble::last(
            Why::Wrong,
            format!("{wanted}: the hub answers for commit {commit}"),
        ));
    }
    let etag = text(headers, "X-Linked-Etag").or_else(|| text(headers, "ETag"));
    let Some(etag) = etag else {
        let message = format!("{wanted}: the server sends no ETag; is HF_ENDPOINT a hub?");
        return Err(Trouble::last(Why::Wrong, message));
    };
    let etag = Etag::parse(etag).map_err(|error| {
        Trouble::last(
            Why::Wrong,
            format!("{wanted}: the server sends {}", wire.shown(&error.message)),
        )
    })?;
    let linked = text(headers, "X-Linked-Size");
    let size = match (linked, sent_on) {
        (Some(size), _) => Some(size),
        (None, false) => text(response.headers(), "Content-Length"),
        (None, true) => None,
    };
    let size = size.and_then(|size| size.parse().ok());
    Ok(Described {
        address: answer.address,
        etag,
        size,
    })
}

/// A download under way.
struct Partial<'a> {
    wire: &'a Wire,
    wanted: &'a Wanted<'a>,
    etag: &'a Etag,
    size: Option<u64>,
    file: File,
    /// Bytes that are in the file and in the hash.
    have: u64,
    check: Check,
    /// How often all came and was not what it should be.
    mistaken: u32,
    progress: Option<Progress>,
}

fn download(
    wire: &Wire,
    wanted: &Wanted<'_>,
    described: &Described,
    incomplete: &Path,
    stop: &Stop,
) -> Result<()> {
    let cannot = || format!("cannot write {}", incomplete.display());
    if let Some(folder) = incomplete.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(incomplete)
        .with_context(cannot)?;
    let size = described.size;
    let mut partial = Partial {
        wire,
        wanted,
        etag: &described.etag,
        size,
        file,
        have: 0,
        check: Check::new(&described.etag, size),
        mistaken: 0,
        progress: None,
    };
    partial.take_up(stop).with_context(cannot)?;
    if let Some(size) = size.filter(|size| *size >= SHOWN) {
        let label = format!(
            "{} (MiB)",
            wanted.file.rsplit('/').next().unwrap_or_default()
        );
        partial.progress = Some(Progress::resume(&label, mebi(size), mebi(partial.have)));
    }
    let mut failures = 0;
    let mut address = described.address.clone();
    loop {
        let before = partial.have;
        let trouble = match partial.attempt(&address, stop) {
            Ok(()) => break,
            Err(trouble) => trouble,
        };
        // As long as it gets on, it is not given up.
        if partial.have >= before + (1 << 20) {
            failures = 0;
        }
        failures += 1;
        if !trouble.again || failures >= TRIES {
            return Err(trouble.error);
        }
        wire.wait(failures - 1, trouble.asked, stop)?;
        // An address that was signed for a while may be no good any more.
        if let Ok(again) = describe(wire, wanted)
            && again.etag == described.etag
        {
            address = again.address;
        }
    }
    partial.file.sync_all().with_context(cannot)
}

impl Partial<'_> {
    /// Hashes what an earlier process left.
    fn take_up(&mut self, stop: &Stop) -> Result<()> {
        let length = self.file.metadata()?.len();
        if self.size.is_none_or(|size| length > size) {
            return Ok(self.start_over()?);
        }
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = self.file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            stop.check()?;
            self.check.update(&buffer[..count]);
            self.have += count as u64;
        }
    }

    fn start_over(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.check = Check::new(self.etag, self.size);
        self.have = 0;
        Ok(())
    }

    /// One request for what is missing.
    fn attempt(&mut self, address: &str, stop: &Stop) -> Result<(), Trouble> {
        if self.size != Some(self.have) {
            self.receive(address, stop)?;
        }
        if self.size.is_some_and(|size| self.have < size) {
            return Err(self.trouble(format!(
                "the server ended after {} of {} bytes",
                self.have,
                self.size.unwrap_or_default()
            )));
        }
        let check = std::mem::replace(&mut self.check, Check::None);
        if !check.holds(self.etag) {
            self.again()?;
            self.mistaken += 1;
            let message = format!(
                "the content that came is not what its etag {} says",
                self.etag.0
            );
            return Err(Trouble {
                // Once more, since the first part may have been left by a broken process.
                again: self.mistaken == 1,
                ..self.trouble(message)
            });
        }
        Ok(())
    }

    fn trouble(&self, message: String) -> Trouble {
        Trouble::passing(Why::Wrong, format!("{}: {message}", self.wanted))
    }

    /// [`Partial::start_over`], where it is a try's end.
    fn again(&mut self) -> Result<(), Trouble> {
        Ok(self.start_over().context("cannot write to the cache")?)
    }

    fn receive(&mut self, address: &str, stop: &Stop) -> Result<(), Trouble> {
        let range = format!("bytes={}-", self.have);
        let headers: &[(&str, &str)] = match self.have {
            0 => &[],
            _ => &[("Range", &*range)],
        };
        let answer = self.wire.ask(Method::Get, address, headers)?;
        let (address, response) = (answer.address, answer.response);
        if response.status().as_u16() == 416 {
            self.again()?;
            return Err(self.trouble("the server has no such part of it".into()));
        }
        let response = self.wire.good(self.wanted, &address, response)?;
        let mut whole: Option<u64> =
            text(response.headers(), "Content-Length").and_then(|text| text.parse().ok());
        if self.have > 0 {
            let part = text(response.headers(), "Content-Range");
            let part = part.and_then(|part| part.trim().strip_prefix("bytes ")?.split_once('/'));
            let from = part.and_then(|(range, _)| range.split('-').next()?.parse::<u64>().ok());
            match response.status().as_u16() {
                206 if from == Some(self.have) => {
                    whole = part.and_then(|(_, total)| total.parse().ok());
                }
                206 => {
                    self.again()?;
                    return Err(
                        self.trouble("the server sent another part than was asked for".into())
                    );
                }
                // It sends all of it.
                _ => self.again()?,
            }
        }
        if let (Some(size), Some(whole)) = (self.size, whole)
            && size != whole
        {
            self.again()?;
            return Err(self.trouble(format!("{size} bytes were announced, and {whole} are sent")));
        }
        self.wire.read(&address, response, |bytes| {
            stop.check()?;
            self.take(bytes)
        })
    }

    /// Keeps what came next.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let most = self.size.unwrap_or(UNSIZED);
        if self.have + bytes.len() as u64 > most {
            self.again()?;
            return Err(self.trouble(format!("the server sends more than {most} bytes")));
        }
        let written = self.file.write_all(bytes);
        written.context("cannot write to the cache")?;
        self.check.update(bytes);
        self.have += bytes.len() as u64;
        if let Some(progress) = &self.progress {
            progress.at(mebi(self.have));
        }
        Ok(())
    }
}

fn mebi(bytes: u64) -> usize {
    (bytes >> 20) as usize
}
