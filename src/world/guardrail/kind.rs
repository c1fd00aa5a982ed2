//! The kinds of guardrails.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of guardrails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// A detail must be asked for before a service is done.
    AskBefore,
    /// Something may not be promised.
    NeverPromise,
    /// No more than a number of something may be given.
    Limit,
    /// Something must be mentioned when a service is done.
    Disclosure,
    /// A fact may not be told.
    ForbiddenTopic,
    /// A service is someone else's to do.
    HandOver,
}

impl RuleKind {
    pub const ALL: [Self; 6] = [
        Self::AskBefore,
        Self::NeverPromise,
        Self::Limit,
        Self::Disclosure,
        Self::ForbiddenTopic,
        Self::HandOver,
    ];

    /// The name in records and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::AskBefore => "ask_before",
            Self::NeverPromise => "never_promise",
            Self::Limit => "limit",
            Self::Disclosure => "disclosure",
            Self::ForbiddenTopic => "forbidden_topic",
            Self::HandOver => "hand_over",
        }
    }
}

impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
