//! In a build that has no hub.

use std::path::Path;

use anyhow::Result;

use super::pinned::Pinned;
use crate::store::{BadInput, Stop};

/// What a name is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Model,
    Tokenizer,
    Data,
}

fn missing<T>(name: &str) -> Result<T> {
    Err(BadInput(format!(
        "{name}: this build has no hub; build it with --features hub (make ... WITH=hub)"
    ))
    .into())
}

/// # Errors
/// Always, and so do the others.
pub fn check(name: &str) -> Result<()> {
    missing(name)
}

pub fn pin(name: &str, _: &Stop) -> Result<Pinned> {
    missing(name)
}

pub fn fetch(pinned: &Pinned, _: Wanted, _: &Stop) -> Result<()> {
    missing(&pinned.name)
}

pub fn is_here(pinned: &Pinned, _: Wanted) -> Result<bool> {
    missing(&pinned.name)
}

pub fn push(_: &Path, repo: &str, _: bool, _: Option<&str>, _: &Stop) -> Result<String> {
    missing(repo)
}
