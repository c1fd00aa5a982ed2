//! A name whose commit is known.

use std::path::PathBuf;

/// A name whose commit is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The name with the commit in place of the revision: what it is, for good.
    pub name: String,
    /// Where its files lie once they are fetched.
    pub path: PathBuf,
}
