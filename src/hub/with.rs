//! By way of `crates/hub`.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Error, Result};
use rapport_hub::{Hub, HubError, Name, Push, Repo, Why};

pub use rapport_hub::Wanted;

use super::pinned::Pinned;
use crate::store::{BadInput, Stop};

/// The hub of this process, so that each is asked once what it has.
fn hub() -> Result<&'static Hub> {
    static HUB: OnceLock<Hub> = OnceLock::new();
    if let Some(hub) = HUB.get() {
        return Ok(hub);
    }
    let hub = Hub::from_env().map_err(|error| BadInput(format!("{error:#}")))?;
    Ok(HUB.get_or_init(|| hub))
}

fn parse(name: &str) -> Result<Name> {
    Ok(Name::parse(name).map_err(|error| BadInput(format!("{error:#}")))?)
}

/// Checks a name's form; nothing is asked of any server.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<()> {
    parse(name).map(drop)
}

/// What commit the name is now.
///
/// # Errors
/// The hub gives no answer, and the cache knows none.
pub fn pin(name: &str, stop: &Stop) -> Result<Pinned> {
    let hub = hub()?;
    let name = hub.pin(&parse(name)?, stop).map_err(given)?;
    Ok(Pinned {
        path: hub.place(&name),
        name: name.to_string(),
    })
}

/// Brings what is wanted of it into the cache.
///
/// # Errors
/// What the hub has not, does not give, or gives wrongly.
pub fn fetch(pinned: &Pinned, wanted: Wanted, stop: &Stop) -> Result<()> {
    let fetched = hub()?.fetch(&parse(&pinned.name)?, wanted, stop);
    fetched.map(drop).map_err(given)
}

/// The error, as one that lies in what the user gave unless the hub was not reached.
fn given(error: Error) -> Error {
    match error.downcast_ref::<HubError>() {
        Some(HubError {
            why: Why::Unreachable,
            ..
        })
        | None => error,
        Some(_) => BadInput(format!("{error:#}")).into(),
    }
}

/// Whether what is wanted is in the cache already.
///
/// # Errors
/// A variable of the environment that cannot be used.
pub fn is_here(pinned: &Pinned, wanted: Wanted) -> Result<bool> {
    Ok(hub()?.is_here(&parse(&pinned.name)?, wanted))
}

/// Uploads a model's folder, and says in a line what came of it.
///
/// # Errors
/// A folder that is no model's, and what the hub does not take.
pub fn push(
    dir: &Path,
    repo: &str,
    private: bool,
    revision: Option<&str>,
    stop: &Stop,
) -> Result<String> {
    let repo = Repo::model(repo).map_err(|error| BadInput(format!("{error:#}")))?;
    let push = Push {
        dir,
        repo: &repo,
        private,
        revision,
        message: "Upload model by Rapport",
    };
    let pushed = hub()?.push(&push, stop).map_err(given)?;
    let (files, mebi) = (pushed.files, pushed.bytes as f64 / f64::from(1 << 20));
    let done = match pushed.commit {
        Some(commit) => format!("{files} files, {mebi:.1} MiB, commit {commit}"),
        None => format!("all {files} files are there already"),
    };
    Ok(format!("{}: {done}", pushed.page))
}
