//! What a hub's answer means.

use std::time::Duration;

use rapport_store::Stopped;

/// Why a hub gave no answer that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was not reached, or is broken for the moment.
    Unreachable,
    /// It does not let this token (or no token) have it.
    Denied,
    /// There is no such repository, or it is hidden.
    NoRepo,
    NoRevision,
    NoFile,
    /// The answer makes no sense, or the content is not what it should be.
    Wrong,
}

/// What went wrong, in words that hold no token.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct HubError {
    pub why: Why,
    pub message: String,
}

impl HubError {
    pub(crate) fn new(why: Why, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { why, message }
    }
}

/// Whether an error is of this kind.
pub(crate) fn is(error: &anyhow::Error, why: Why) -> bool {
    error
        .downcast_ref::<HubError>()
        .is_some_and(|error| error.why == why)
}

/// A failed try, and whether another makes sense.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub error: anyhow::Error,
    pub again: bool,
    /// How long the server asked to wait.
    pub asked: Option<Duration>,
}

impl Trouble {
    pub fn last(why: Why, message: impl Into<String>) -> Self {
        Self {
            error: HubError::new(why, message).into(),
            again: false,
            asked: None,
        }
    }

    pub fn passing(why: Why, message: impl Into<String>) -> Self {
        Self {
            again: true,
            ..Self::last(why, message)
        }
    }
}

/// What is wrong on this side, such as a full disk, is not mended by asking again.
impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self {
            error,
            again: false,
            asked: None,
        }
    }
}

impl From<Stopped> for Trouble {
    fn from(stopped: Stopped) -> Self {
        anyhow::Error::from(stopped).into()
    }
}
