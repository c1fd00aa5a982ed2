//! TensorBoard's event files: scalars by step.
//!
//! Reference: `record_writer.cc`, `event.proto` and `summary.proto` of TensorFlow; tags as the `TensorBoardCallback` of
//! transformers, and so TRL, gives them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

/// What the names of our files begin and end with.
const FRONT: &str = "events.out.tfevents.";
const BACK: &str = ".rapport";

/// An event file that is being written.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Begins a file in `dir`, in place of those that earlier runs have written there.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(dir: &Path) -> Result<Self> {
        let cannot = || format!("cannot write event files in {}", dir.display());
        fs::create_dir_all(dir).with_context(cannot)?;
        // A reader goes on to the file whose name comes next.
        let mut number = now() as u64;
        for entry in fs::read_dir(dir).with_context(cannot)? {
            let name = entry.with_context(cannot)?.file_name();
            let name = name.to_string_lossy();
            let own = name
                .strip_prefix(FRONT)
                .and_then(|it| it.strip_suffix(BACK));
            if let Some(before) = own.and_then(|it| it.parse::<u64>().ok()) {
                number = number.max(before.saturating_add(1));
                fs::remove_file(dir.join(&*name)).with_context(cannot)?;
            }
        }
        let path = dir.join(format!("{FRONT}{number:010}{BACK}"));
        let file = File::create(&path).with_context(cannot)?;
        let mut events = Self { path, file };
        let mut event = Vec::new();
        double(&mut event, 1, now());
        bytes(&mut event, 3, b"brain.Event:2");
        events.put(&record(&event))?;
        Ok(events)
    }

    /// Adds lines of a `metrics.jsonl`, of which the last was written at the time `end`, in seconds since 1970, and each
    /// took the `seconds` that it says.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&mut self, lines: &[Map<String, Value>], end: f64) -> Result<()> {
        let mut records = Vec::new();
        let took = |line: &Map<String, Value>| line.get("seconds").and_then(Value::as_f64);
        let all: f64 = lines.iter().skip(1).filter_map(took).sum();
        let mut time = end - all;
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                time += took(line).unwrap_or(0.0);
            }
            if let Some(event) = event(line, time) {
                records.extend(record(&event));
            }
        }
        self.put(&records)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |it| it.as_secs_f64())
}

/// The event of a line of metrics; nothing where it has no step.
fn event(line: &Map<String, Value>, time: f64) -> Option<Vec<u8>> {
    let step = line.get("step")?.as_u64()?;
    let mut summary = Vec::new();
    for (key, value) in line.iter().filter(|(key, _)| *key != "step") {
        let Some(number) = value.as_f64() else {
            continue;
        };
        let tag = match key.strip_prefix("eval_") {
            Some(key) => format!("eval/{key}"),
            None => format!("train/{key}"),
        };
        let mut value = Vec::new();
        bytes(&mut value, 1, tag.as_bytes());
        value.push(2 << 3 | 5);
        value.extend((number as f32).to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    let mut event = Vec::new();
    double(&mut event, 1, time);
    event.push(2 << 3);
    varint(&mut event, step);
    bytes(&mut event, 5, &summary);
    Some(event)
}

/// A field of eight bytes in the wire format of protocol buffers.
fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend(value.to_le_bytes());
}

/// A field with a length.
fn bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A record of a TFRecord file: its length, its data, and the masked CRC-32C of each.
fn record(data: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| {
        let crc = crc32c::crc32c(bytes);
        crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
    };
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// As `tensorboard.compat.proto` serialises and `tensorboard.summary.writer` frames it; see
    /// `scripts/check_tensorboard.py`, which reads a whole file back.
    #[test]
    fn an_event_has_the_bytes_of_tensorboards_own() {
        let row = line(
            json!({"step": 300, "loss": 0.5, "eval_loss": 2, "note": "x", "rewards/margins": null}),
        );
        let found = record(&event(&row, 1.5).unwrap());
        let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert!(event(&line(json!({"loss": 1.0})), 1.5).is_none());
    }

    const GOLDEN: &str = "33000000000000000ca7205609000000000000f83f10ac022a250a110a0a747261696e2f6c6f7373150000003f0a100a096576616c2f6c6f73731500000040f15941a8";

    #[test]
    fn a_file_takes_the_place_of_those_before_and_its_name_comes_after_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(dir.path()).unwrap();
            let mut names: Vec<String> = entries
                .map(|it| it.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        fs::write(
            dir.path().join("events.out.tfevents.1.host"),
            "of another program",
        )
        .unwrap();
        let mut before = String::new();
        for _ in 0..3 {
            let mut events = Events::create(dir.path()).unwrap();
            events
                .add(&[line(json!({"step": 1, "loss": 1.0}))], 10.0)
                .unwrap();
            let names = names();
            assert_eq!(names.len(), 2, "{names:?}");
            assert!(names[0] > before || names[1] > before, "{names:?}");
            before = names[0].clone().max(names[1].clone());
        }
    }
}
