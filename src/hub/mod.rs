//! What lies on a hub (`hub:ORG/NAME`), for recipes, stages and commands. A build without the feature `hub` knows such a name
//! when it meets one, and says so.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::store::Stop;

mod pinned;
#[cfg(feature = "hub")]
mod with;
#[cfg(not(feature = "hub"))]
mod without;

pub use pinned::Pinned;
#[cfg(feature = "hub")]
pub use with::{Wanted, check, fetch, is_here, pin, push};
#[cfg(not(feature = "hub"))]
pub use without::{Wanted, check, fetch, is_here, pin, push};

/// Whether a path names what lies on a hub.
pub fn is_name(text: &str) -> bool {
    text.starts_with("hub:")
}

/// The path itself; or, of what lies on a hub, that to which it was fetched.
///
/// # Errors
/// As [`pin`] and [`fetch`].
pub fn local(path: &Path, wanted: Wanted, stop: &Stop) -> Result<PathBuf> {
    match path.to_str().filter(|text| is_name(text)) {
        Some(name) => {
            let pinned = pin(name, stop)?;
            fetch(&pinned, wanted, stop)?;
            Ok(pinned.path)
        }
        None => Ok(path.to_owned()),
    }
}
