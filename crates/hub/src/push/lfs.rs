//! Git LFS as the hub has it: where to put each large file is asked in one go, and a very large one goes in parts. What an
//! address is signed with is the store's; the hub's token stays with the hub.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};

use anyhow::{Context as _, Result};
use rapport_store::{Progress, Stop, say};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ureq::SendBody;

use super::files::Local;
use crate::error::{HubError, Why};
use crate::name::Repo;
use crate::wire::{Method, Wire, text};

const KIND: &str = "application/vnd.git-lfs+json";

/// Parts of one file.
const MOST_PARTS: u64 = 100_000;

/// What the store wants done.
#[derive(Deserialize)]
struct Told {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    actions: Option<Actions>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Actions {
    upload: Option<Action>,
    verify: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: Option<Map<String, Value>>,
}

/// Uploads files that the store does not have.
pub(super) fn upload(
    wire: &Wire,
    repo: &Repo,
    revision: &str,
    files: &mut [&mut Local],
    stop: &Stop,
) -> Result<()> {
    let address = format!(
        "{}/{}.git/info/lfs/objects/batch",
        wire.endpoint,
        repo.path()
    );
    let objects: Vec<Value> = files
        .iter()
        .map(|file| json!({"oid": file.sha256, "size": file.size}))
        .collect();
    let body = json!({
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": objects,
        "hash_algo": "sha256",
        "ref": {"name": revision},
    });
    let headers = [("Accept", KIND), ("Content-Type", KIND)];
    let told = wire.post(repo, &address, &headers, &body.to_string(), stop)?;
    let wrong = |message: String| HubError::new(Why::Wrong, format!("{repo}: {message}"));
    let told: Told = serde_json::from_value(told).map_err(|error| {
        wrong(format!(
            "the store of large files answers with no batch: {error}"
        ))
    })?;
    for file in files {
        let Some(object) = told.objects.iter().find(|object| object.oid == file.sha256) else {
            return Err(wrong(format!("the store does not say where {} goes", file.path)).into());
        };
        if let Some(error) = &object.error {
            let message = error["message"].as_str().unwrap_or("no reason");
            return Err(wrong(format!(
                "{}: the store refuses it ({})",
                file.path,
                wire.shown(message)
            ))
            .into());
        }
        let Some(action) = object.actions.as_ref() else {
            say(&format!("{}: the store has it", file.path));
            continue;
        };
        let Some(upload) = &action.upload else {
            continue;
        };
        let sending = Sending {
            wire,
            file,
            progress: (file.size >= 8 << 20).then(|| {
                Progress::new(&format!("{} (MiB)", file.path), (file.size >> 20) as usize)
            }),
            stop,
        };
        sending.send(upload)?;
        if let Some(verify) = &action.verify {
            let body = json!({"oid": file.sha256, "size": file.size}).to_string();
            wire.retry(stop, || {
                let kind = [("Content-Type", "application/json")];
                let response = wire.send(Method::Post, &verify.href, &kind, &*body)?;
                wire.good(&file.path, &verify.href, response).map(drop)
            })?;
        }
    }
    Ok(())
}

/// One file on its way.
struct Sending<'a> {
    wire: &'a Wire,
    file: &'a Local,
    progress: Option<Progress>,
    stop: &'a Stop,
}

impl Sending<'_> {
    fn send(&self, action: &Action) -> Result<()> {
        let header = action.header.clone().unwrap_or_default();
        let Some(size) = header.get("chunk_size") else {
            return self.put(&action.href, 0, self.file.size).map(drop);
        };
        let size = match size {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let size = size.filter(|size| *size > 0);
        let parts = size.map(|size| self.file.size.div_ceil(size));
        let (Some(size), Some(parts)) = (size, parts.filter(|parts| *parts <= MOST_PARTS)) else {
            return Err(self
                .wrong("the store names no size of parts that makes sense")
                .into());
        };
        let mut addresses: Vec<(u64, &str)> = header
            .iter()
            .filter_map(|(name, address)| Some((name.parse().ok()?, address.as_str()?)))
            .collect();
        addresses.sort_unstable();
        if addresses.len() as u64 != parts {
            return Err(self
                .wrong("the store has not an address for each part")
                .into());
        }
        let mut sent = Vec::new();
        for (at, (_, address)) in (0..).zip(addresses) {
            let from = at * size;
            let etag = self.put(address, from, size.min(self.file.size - from))?;
            let Some(etag) = etag else {
                return Err(self.wrong("the store sends no etag of a part").into());
            };
            sent.push(json!({"partNumber": at + 1, "etag": etag}));
        }
        let body = json!({"oid": self.file.sha256, "parts": sent}).to_string();
        self.wire.retry(self.stop, || {
            let headers = [("Accept", KIND), ("Content-Type", KIND)];
            let response = self
                .wire
                .send(Method::Post, &action.href, &headers, &*body)?;
            self.wire
                .good(&self.file.path, &action.href, response)
                .map(drop)
        })
    }

    fn wrong(&self, message: &str) -> HubError {
        HubError::new(Why::Wrong, format!("{}: {message}", self.file.path))
    }

    /// Puts some of its bytes, and returns the etag that they are given.
    fn put(&self, address: &str, from: u64, length: u64) -> Result<Option<String>> {
        let place = self.file.place.display();
        self.wire.retry(self.stop, || {
            let mut file =
                File::open(&self.file.place).with_context(|| format!("cannot read {place}"))?;
            file.seek(SeekFrom::Start(from))
                .with_context(|| format!("cannot read {place}"))?;
            let mut reader = Watched {
                inner: file.take(length),
                sent: from,
                sending: self,
            };
            let length = length.to_string();
            let headers = [("Content-Length", &*length)];
            let body = SendBody::from_reader(&mut reader);
            let response = self.wire.send(Method::Put, address, &headers, body);
            self.stop.check()?;
            let response = self.wire.good(&self.file.path, address, response?)?;
            Ok(text(response.headers(), "ETag").map(str::to_owned))
        })
    }
}

/// A reader that tells how far it has got, and ends where a stop is asked for.
struct Watched<'a, R> {
    inner: R,
    sent: u64,
    sending: &'a Sending<'a>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.sending.stop.requested() {
            return Err(std::io::Error::other("stopped"));
        }
        let count = self.inner.read(buffer)?;
        self.sent += count as u64;
        if let Some(progress) = &self.sending.progress {
            progress.at((self.sent >> 20) as usize);
        }
        Ok(count)
    }
}
