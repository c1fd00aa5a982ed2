//! A model's folder, to a repository: its small files within one commit, its large ones by Git LFS before that.
//!
//! The routes are `huggingface_hub`'s: `repos/create`, `branch`, `preupload`, LFS's batch, and `commit` in lines of JSON.

mod files;
mod lfs;

use std::path::Path;

use anyhow::{Result, bail};
use rapport_store::{BadInput, Stop, say};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{self, Why};
use super::name::{Repo, check_revision, quoted};
use super::wire::{Method, Wire};
use super::{Hub, MAIN};
use files::{Local, base64};

/// What is pushed where.
pub struct Push<'a> {
    /// A model's folder, or an adapter's.
    pub dir: &'a Path,
    pub repo: &'a Repo,
    /// Whether a repository that is made is private.
    pub private: bool,
    /// A branch, which is made where there is none; `main` where none is named.
    pub revision: Option<&'a str>,
    /// The commit's first line.
    pub message: &'a str,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The page of what was pushed.
    pub page: String,
    /// The commit; nothing if the repository had all of it already.
    pub commit: Option<String>,
    pub files: usize,
    pub bytes: u64,
}

/// Files of one question to the hub.
const AT_ONCE: usize = 256;

impl Hub {
    /// Uploads the files of a folder.
    ///
    /// # Errors
    /// A folder that is no model's, no token, [`super::HubError`], [`rapport_store::Stopped`].
    pub fn push(&self, push: &Push<'_>, stop: &Stop) -> Result<Pushed> {
        let wire = &self.wire;
        let revision = push.revision.unwrap_or(MAIN);
        check_revision(revision).map_err(|error| BadInput(format!("--revision: {error:#}")))?;
        let mut files = files::of_model(push.dir)?;
        if wire.offline {
            bail!(BadInput(
                "HF_HUB_OFFLINE keeps anything from being pushed; unset it".into()
            ));
        }
        if !wire.has_token() {
            bail!(BadInput(
                "a push needs a token that may write: set HF_TOKEN, or log in with `hf auth login`"
                    .into()
            ));
        }
        create(wire, push, stop)?;
        if revision != MAIN {
            branch(wire, push.repo, revision, stop)?;
        }
        let api = format!("{}/api/{}", wire.endpoint, push.repo.api());
        let at = quoted(revision, false);
        let route = format!("{api}/preupload/{at}");
        for chunk in files.chunks_mut(AT_ONCE) {
            ask_modes(wire, push.repo, &route, chunk, stop)?;
        }
        files.retain(|file| !file.ignored);
        for file in &mut files {
            file.hash(stop)?;
        }
        let bytes = files.iter().map(|file| file.size).sum();
        let count = files.len();
        let page = match revision {
            MAIN => format!("{}/{}", wire.endpoint, push.repo.path()),
            _ => format!("{}/{}/tree/{at}", wire.endpoint, push.repo.path()),
        };
        files.retain(|file| !file.is_there());
        if files.is_empty() {
            return Ok(Pushed {
                page,
                commit: None,
                files: count,
                bytes,
            });
        }
        let mut large: Vec<&mut Local> = files.iter_mut().filter(|file| file.lfs).collect();
        for chunk in large.chunks_mut(AT_ONCE) {
            lfs::upload(wire, push.repo, revision, chunk, stop)?;
        }
        let commit = commit(wire, push, &format!("{api}/commit/{at}"), &files, stop)?;
        Ok(Pushed {
            page,
            commit: Some(commit),
            files: count,
            bytes,
        })
    }
}

/// Makes the repository, unless it is there.
fn create(wire: &Wire, push: &Push<'_>, stop: &Stop) -> Result<()> {
    let address = format!("{}/api/repos/create", wire.endpoint);
    let (org, name) = push.repo.id.split_once('/').unwrap_or_default();
    let mut body = json!({"name": name, "organization": org});
    if push.private {
        body["private"] = true.into();
    }
    let body = body.to_string();
    let made = wire.retry(stop, || {
        let kind = [("Content-Type", "application/json")];
        let response = wire.send(Method::Post, &address, &kind, &*body)?;
        match response.status().as_u16() {
            // It is there.
            409 => Ok(false),
            _ => wire.good(push.repo, &address, response).map(|_| true),
        }
    });
    match made {
        Ok(made) => {
            if made {
                say(&format!("made {}", push.repo));
            }
            Ok(())
        }
        // A token may be allowed to write to one repository and to make none.
        Err(error) if error::is(&error, Why::Denied) => {
            let known = exists(wire, push.repo, stop);
            if known { Ok(()) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}

fn exists(wire: &Wire, repo: &Repo, stop: &Stop) -> bool {
    let address = format!("{}/api/{}", wire.endpoint, repo.api());
    let found = wire.retry(stop, || {
        let answer = wire.ask(Method::Get, &address, &[])?;
        wire.good(repo, &answer.address, answer.response).map(drop)
    });
    found.is_ok()
}

/// Makes the branch, unless it is there.
fn branch(wire: &Wire, repo: &Repo, revision: &str, stop: &Stop) -> Result<()> {
    let branch = quoted(revision, false);
    let address = format!("{}/api/{}/branch/{branch}", wire.endpoint, repo.api());
    wire.retry(stop, || {
        let kind = [("Content-Type", "application/json")];
        let response = wire.send(Method::Post, &address, &kind, "{}")?;
        match response.status().as_u16() {
            409 => Ok(()),
            _ => wire.good(repo, &address, response).map(drop),
        }
    })
}

/// Asks which files are large to the hub, which it ignores, and which it has.
fn ask_modes(
    wire: &Wire,
    repo: &Repo,
    route: &str,
    files: &mut [Local],
    stop: &Stop,
) -> Result<()> {
    #[derive(Deserialize)]
    struct Told {
        files: Vec<Mode>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Mode {
        path: String,
        upload_mode: String,
        #[serde(default)]
        should_ignore: bool,
        oid: Option<String>,
    }
    let rows: Vec<Value> = files
        .iter()
        .map(|file| json!({"path": file.path, "sample": base64(&file.sample), "size": file.size}))
        .collect();
    let body = json!({"files": rows}).to_string();
    let told = wire.post(repo, route, &[], &body, stop)?;
    let told: Told = serde_json::from_value(told).map_err(|error| {
        super::HubError::new(
            Why::Wrong,
            format!("{repo}: the hub's answer on how to upload: {error}"),
        )
    })?;
    for file in files {
        let Some(mode) = told.files.iter().find(|mode| mode.path == file.path) else {
            let message = format!("{repo}: the hub does not say how to upload {}", file.path);
            return Err(super::HubError::new(Why::Wrong, message).into());
        };
        // A store of large files takes no empty one.
        file.lfs = mode.upload_mode == "lfs" && file.size > 0;
        file.ignored = mode.should_ignore;
        file.remote = mode.oid.clone();
    }
    Ok(())
}

/// The commit, as lines of JSON.
fn commit(
    wire: &Wire,
    push: &Push<'_>,
    address: &str,
    files: &[Local],
    stop: &Stop,
) -> Result<String> {
    let header = json!({"key": "header", "value": {"summary": push.message, "description": ""}});
    let mut body = format!("{header}\n");
    for file in files {
        let line = match file.lfs {
            true => json!({
                "key": "lfsFile",
                "value": {"path": file.path, "algo": "sha256", "oid": file.sha256, "size": file.size},
            }),
            false => json!({
                "key": "file",
                "value": {"content": base64(&file.content()?), "path": file.path, "encoding": "base64"},
            }),
        };
        body += &format!("{line}\n");
    }
    let kind = [("Content-Type", "application/x-ndjson")];
    let told = wire.post(push.repo, address, &kind, &body, stop)?;
    let commit = told["commitOid"].as_str().unwrap_or_default();
    Ok(wire.shown(commit))
}
