//! The mark of an error that lies in what the user gave, by which the program's exit code is chosen.

use std::io;

use anyhow::{Error, Result};

use super::Stopped;

/// What the user gave cannot be used: a recipe, a row, a model folder, an argument.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// Marks the error of a result as one that lies in what the user gave.
pub trait OrBadInput<T> {
    /// The same result, whose error is a [`BadInput`] with the whole message. A stop stays a stop, and a disk that
    /// takes no more is not in what was given.
    ///
    /// # Errors
    /// The result's own, marked.
    fn or_bad_input(self) -> Result<T>;
}

impl<T, E: Into<Error>> OrBadInput<T> for Result<T, E> {
    fn or_bad_input(self) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            match error.is::<Stopped>() || error.is::<BadInput>() || is_full(&error) {
                true => error,
                false => BadInput(format!("{error:#}")).into(),
            }
        })
    }
}

fn is_full(error: &Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let mut kinds = error.chain().filter_map(|cause| {
        let json = cause.downcast_ref::<serde_json::Error>();
        let json = json.and_then(serde_json::Error::io_error_kind);
        json.or(cause.downcast_ref::<io::Error>().map(io::Error::kind))
    });
    kinds.any(|kind| {
        matches!(
            kind,
            StorageFull | QuotaExceeded | FileTooLarge | ReadOnlyFilesystem
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context as _, anyhow};

    #[test]
    fn a_mark_is_found_below_what_is_said_later_and_a_stop_is_none() {
        let bad: Result<()> = Err(anyhow!("inner").context("outer")).or_bad_input();
        let bad = bad.context("stage x").unwrap_err();
        assert!(bad.is::<BadInput>());
        assert_eq!(format!("{bad:#}"), "stage x: outer: inner");
        let stopped: Result<()> = Err(Error::from(Stopped)).or_bad_input();
        let stopped = stopped.unwrap_err();
        assert!(stopped.is::<Stopped>() && !stopped.is::<BadInput>());
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let full: Result<()> = Err(Error::from(full).context("cannot write x"));
        assert!(!full.or_bad_input().unwrap_err().is::<BadInput>());
    }
}
