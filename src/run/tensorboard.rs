//! Step metrics as TensorBoard's event files, while a stage writes them and once it has.

use std::fs::{File, Metadata};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use crate::store::{Events, say};

/// How often a file of metrics is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes the event file of a finished `metrics.jsonl` into `dir`; nothing where there are no metrics.
///
/// # Errors
/// The file system's.
pub fn write(metrics: &Path, dir: &Path) -> Result<()> {
    Tail::new(metrics, dir).read()
}

/// A thread that copies what is appended to a `metrics.jsonl` until it is told that the stage has ended.
pub struct Follower {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Follows the file at `metrics`, which need not be there yet. What cannot be written is said once, and ends no
    /// training.
    pub fn start(metrics: PathBuf, dir: PathBuf) -> Self {
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let mut tail = Tail::new(&metrics, &dir);
            loop {
                let waited = ended.recv_timeout(PAUSE);
                if let Err(error) = tail.read() {
                    say(&format!("no more event files for TensorBoard: {error:#}"));
                    return;
                }
                if waited != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self { end, thread }
    }

    /// Copies the rest and ends the thread.
    pub fn finish(self) {
        // The thread may have ended for want of space.
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

/// How far a file of metrics has been copied.
struct Tail {
    metrics: PathBuf,
    dir: PathBuf,
    events: Option<Events>,
    /// Which file it was, and how many bytes of it are copied.
    file: Option<u64>,
    copied: u64,
}

impl Tail {
    fn new(metrics: &Path, dir: &Path) -> Self {
        Self {
            metrics: metrics.to_owned(),
            dir: dir.to_owned(),
            events: None,
            file: None,
            copied: 0,
        }
    }

    /// Copies the whole lines that are new. A file that was replaced, as by a run that goes on from a saved step and
    /// takes later ones again, is copied from its beginning into an event file of its own.
    fn read(&mut self) -> Result<()> {
        if !self.metrics.exists() {
            return Ok(());
        }
        let cannot = || format!("cannot read {}", self.metrics.display());
        let mut file = File::open(&self.metrics).with_context(cannot)?;
        let about = file.metadata().with_context(cannot)?;
        if self.file != Some(identity(&about)) || about.len() < self.copied {
            (self.events, self.copied) = (None, 0);
            self.file = Some(identity(&about));
        }
        file.seek(SeekFrom::Start(self.copied))
            .with_context(cannot)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(cannot)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let Some(whole) = whole else { return Ok(()) };
        let lines = bytes[..=whole].split(|byte| *byte == b'\n');
        let lines: Vec<Map<String, Value>> = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        let end = about
            .modified()
            .ok()
            .and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        if self.events.is_none() {
            self.events = Some(Events::create(&self.dir)?);
        }
        if let Some(events) = &mut self.events {
            events.add(&lines, end.map_or(0.0, |it| it.as_secs_f64()))?;
        }
        self.copied += whole as u64 + 1;
        Ok(())
    }
}

/// What tells a file from one that has taken its place.
#[cfg(unix)]
fn identity(about: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

/// What tells a file from one that has taken its place.
#[cfg(not(unix))]
fn identity(about: &Metadata) -> u64 {
    let made = about
        .created()
        .ok()
        .and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    made.map_or(0, |it| it.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::Metrics;
    use serde_json::json;

    fn row(step: u64) -> Map<String, Value> {
        let row = json!({"step": step, "loss": 0.5, "seconds": 2.0});
        row.as_object().unwrap().clone()
    }

    /// Time and step of each event after the first, which says the version.
    fn events(dir: &Path) -> Vec<(f64, u64)> {
        let files: Vec<_> = fs::read_dir(dir).unwrap().collect();
        assert_eq!(files.len(), 1, "one file");
        let bytes = fs::read(files[0].as_ref().unwrap().path()).unwrap();
        let (mut rest, mut found) = (&bytes[..], Vec::new());
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = u64::from_le_bytes(*length) as usize;
            let event = &after[4..4 + length];
            let time = f64::from_le_bytes(event[1..9].try_into().unwrap());
            found.push((time, u64::from(event[10])));
            rest = &after[4 + length + 4..];
        }
        found.split_off(1)
    }

    #[test]
    fn a_run_that_goes_on_repeats_no_step() {
        let root = tempfile::tempdir().unwrap();
        let (path, dir) = (
            root.path().join("metrics.jsonl"),
            root.path().join("events"),
        );
        let mut tail = Tail::new(&path, &dir);
        tail.read().unwrap();
        assert!(!dir.exists(), "there are no metrics yet");
        let mut metrics = Metrics::open(&path, 0).unwrap();
        for step in 1..=3 {
            metrics.write(&row(step)).unwrap();
        }
        tail.read().unwrap();
        metrics.write(&row(4)).unwrap();
        tail.read().unwrap();
        tail.read().unwrap();
        let steps = |dir: &Path| events(dir).into_iter().map(|it| it.1).collect::<Vec<_>>();
        assert_eq!(steps(&dir), [1, 2, 3, 4]);
        drop(metrics);
        // Killed, and gone on with from step 2, in this process and in another.
        let mut metrics = Metrics::open(&path, 2).unwrap();
        metrics.write(&row(3)).unwrap();
        tail.read().unwrap();
        assert_eq!(steps(&dir), [1, 2, 3]);
        let mut tail = Tail::new(&path, &dir);
        tail.read().unwrap();
        metrics.write(&row(4)).unwrap();
        tail.read().unwrap();
        let found = events(&dir);
        assert_eq!(steps(&dir), [1, 2, 3, 4]);
        assert!(
            found.windows(2).all(|two| two[0].0 <= two[1].0),
            "{found:?}"
        );
        assert_eq!(found[2].0 - found[0].0, 4.0, "as long as the steps took");
    }

    #[test]
    fn a_follower_copies_what_is_there_when_it_is_told_to_end() {
        let root = tempfile::tempdir().unwrap();
        let (path, dir) = (
            root.path().join("metrics.jsonl"),
            root.path().join("events"),
        );
        let follower = Follower::start(path.clone(), dir.clone());
        let mut metrics = Metrics::open(&path, 0).unwrap();
        metrics.write(&row(1)).unwrap();
        follower.finish();
        assert_eq!(events(&dir).len(), 1);
    }
}
