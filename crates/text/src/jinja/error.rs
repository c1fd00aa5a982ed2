//! What is wrong with a template, or with what it is given.

/// Why a template could not be read or rendered.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error {
    pub kind: ErrorKind,
    message: String,
    /// Line of the template, where it is known.
    line: Option<usize>,
}

/// The sort of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The source is not Jinja, or is Jinja that is not supported.
    Syntax,
    /// The template called `raise_exception`.
    Raised,
    /// What it is given does not fit what it does.
    Operation,
    /// It takes more steps or memory than it may; so would every other rendering.
    Bound,
}

/// Letters of a message.
const MAX_LETTERS: usize = 2000;

pub(super) type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        // A template's words, and a key that it looks for, may hold all that it is given.
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_LETTERS) {
            message.truncate(end);
        }
        Self {
            kind,
            message,
            line: None,
        }
    }

    pub(super) fn syntax(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, message)
    }

    pub(super) fn raised(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Raised, message)
    }

    pub(super) fn operation(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Operation, message)
    }

    pub(super) fn bound(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bound, message)
    }

    /// The same with its line, unless it has one.
    pub(super) fn at(mut self, line: usize) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, self.line) {
            // The template's own words.
            (ErrorKind::Raised, _) | (_, None) => f.write_str(&self.message),
            (_, Some(line)) => write!(f, "line {line}: {}", self.message),
        }
    }
}
