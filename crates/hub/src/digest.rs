//! What a file's etag says of its content: the SHA-256 of a large file, git's object name of any other.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::error::{HubError, Why};

/// An etag, checked: it is a file's name in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Etag(pub String);

impl Etag {
    /// The etag of a header, weak or not, without its quotes.
    pub fn parse(header: &str) -> Result<Self, HubError> {
        let etag = header.trim_start_matches("W/").trim_matches('"');
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if etag.is_empty() || etag.len() > 200 || !etag.chars().all(plain) || etag.starts_with('.')
        {
            let message = format!(
                "an etag that names no file: {:?}",
                rapport_http::shorten(header)
            );
            return Err(HubError::new(Why::Wrong, message));
        }
        Ok(Self(etag.to_owned()))
    }
}

/// The hash that an etag is of, as far as it has been computed.
pub(crate) enum Check {
    Sha256(Sha256),
    /// Git's name of the object; and the plain SHA-1, which some mirrors give.
    Git {
        git: Sha1,
        plain: Sha1,
    },
    /// The etag says nothing of the content.
    None,
}

impl Check {
    /// `size` is that of the whole file, which git's name begins with.
    pub fn new(etag: &Etag, size: Option<u64>) -> Self {
        match size {
            _ if is_hex(&etag.0, 64) => Self::Sha256(Sha256::new()),
            Some(size) if is_hex(&etag.0, 40) => Self::Git {
                git: git(size),
                plain: Sha1::new(),
            },
            _ => Self::None,
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git { git, plain } => {
                git.update(bytes);
                plain.update(bytes);
            }
            Self::None => {}
        }
    }

    /// Whether the content was what the etag says.
    pub fn holds(self, etag: &Etag) -> bool {
        match self {
            Self::Sha256(hash) => hex(&hash.finalize()) == etag.0,
            Self::Git { git, plain } => {
                hex(&git.finalize()) == etag.0 || hex(&plain.finalize()) == etag.0
            }
            Self::None => true,
        }
    }
}

/// The hash that is git's name of a file of `size` bytes, before the first of them.
pub(crate) fn git(size: u64) -> Sha1 {
    Sha1::new_with_prefix(format!("blob {size}\0"))
}

/// Whether a text is a hash of so many digits.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(hex)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_held_to_what_git_and_sha256_call_it() {
        // `printf hello | git hash-object --stdin`, `printf hello | sha256sum`, `printf hello | sha1sum`
        let names = [
            "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0",
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
        ];
        for name in names {
            let etag = Etag::parse(&format!("\"{name}\"")).unwrap();
            for (content, same) in [("hello", true), ("hellO", false)] {
                let mut check = Check::new(&etag, Some(5));
                check.update(&content.as_bytes()[..2]);
                check.update(&content.as_bytes()[2..]);
                assert_eq!(check.holds(&etag), same, "{name} {content}");
            }
        }
        let other = Etag::parse("W/\"abc-1\"").unwrap();
        assert_eq!(other.0, "abc-1");
        assert!(Check::new(&other, Some(5)).holds(&other));
    }

    #[test]
    fn an_etag_that_leads_elsewhere_is_none() {
        for etag in [
            "",
            "\"\"",
            "../x",
            "\"a/b\"",
            ".x",
            "a b",
            "\u{1b}",
            &"a".repeat(300),
        ] {
            assert!(Etag::parse(etag).is_err(), "{etag:?}");
        }
    }
}
