//! Names of what lies on a hub: `hub:ORG/NAME[/FILE][@REVISION]`, `hub:datasets/ORG/NAME/FILE[@REVISION]`.

use std::fmt;

use anyhow::{Result, bail, ensure};

use super::digest::is_hex;

/// What every such name begins with.
pub const SCHEME: &str = "hub:";

/// The longest name of a repository, as the hub has it.
const LONGEST: usize = 96;

/// The longest path and revision.
const LONG: usize = 1024;

/// A repository of models or of data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repo {
    /// Whether it holds data rather than a model.
    pub dataset: bool,
    /// `ORG/NAME`, or the `NAME` alone of one of the hub's first models.
    pub id: String,
}

/// What a user wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub repo: Repo,
    /// A file or folder in it, or all of it.
    pub file: Option<String>,
    /// A branch, a tag or a commit.
    pub revision: Option<String>,
}

impl Repo {
    /// How the hub's routes call it: `ORG/NAME`, `datasets/ORG/NAME`.
    pub(crate) fn path(&self) -> String {
        match self.dataset {
            true => format!("datasets/{}", self.id),
            false => self.id.clone(),
        }
    }

    /// How the routes of its interface call it: `models/ORG/NAME`, `datasets/ORG/NAME`.
    pub(crate) fn api(&self) -> String {
        match self.dataset {
            true => self.path(),
            false => format!("models/{}", self.id),
        }
    }

    /// A model's repository, of the form `ORG/NAME`.
    ///
    /// # Errors
    /// Another form.
    pub fn model(id: &str) -> Result<Self> {
        let parts: Vec<&str> = id.split('/').collect();
        ensure!(
            parts.len() == 2,
            "expected ORG/NAME, found {:?}",
            rapport_http::shorten(id)
        );
        parts.iter().try_for_each(|part| check_part(part))?;
        Ok(Self {
            dataset: false,
            id: id.to_owned(),
        })
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.path())
    }
}

impl Name {
    /// Reads a name, `hub:` at its beginning included.
    ///
    /// # Errors
    /// What is wrong with it, and the form that is expected.
    pub fn parse(text: &str) -> Result<Self> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            bail!("expected a name that begins with {SCHEME}");
        };
        ensure!(
            rest.len() <= 4 * LONG,
            "expected a name of at most {} bytes",
            4 * LONG
        );
        let (path, revision) = match rest.split_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (rest, None),
        };
        let (dataset, path) = match path.strip_prefix("datasets/") {
            Some(path) => (true, path),
            None => (false, path),
        };
        let mut parts = path.splitn(3, '/');
        let mut id = String::new();
        for part in parts.by_ref().take(2) {
            check_part(part)?;
            id += if id.is_empty() { "" } else { "/" };
            id += part;
        }
        ensure!(
            id.contains('/') || !dataset,
            "expected hub:datasets/ORG/NAME/FILE[@REVISION]"
        );
        let file = parts.next().map(str::to_owned);
        if let Some(file) = &file {
            check_file(file)?;
        }
        if let Some(revision) = revision {
            check_revision(revision)?;
        }
        Ok(Self {
            repo: Repo { dataset, id },
            file,
            revision: revision.map(str::to_owned),
        })
    }

    /// A file's path in the repository, if it lies in the folder that is named.
    pub(crate) fn inside(&self, file: &str) -> String {
        match &self.file {
            Some(folder) => format!("{folder}/{file}"),
            None => file.to_owned(),
        }
    }

    /// The same at a revision.
    pub fn at(&self, revision: &str) -> Self {
        Self {
            revision: Some(revision.to_owned()),
            ..self.clone()
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repo.fmt(f)?;
        if let Some(file) = &self.file {
            write!(f, "/{file}")?;
        }
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

/// Checks the name of an organisation or of a repository.
fn check_part(part: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let ends = |letter: char| "-.".contains(letter);
    let fits = !part.is_empty()
        && part.len() <= LONGEST
        && part.chars().all(plain)
        && !part.starts_with(ends)
        && !part.ends_with(ends)
        && !part.contains("--")
        && !part.contains("..");
    ensure!(
        fits,
        "expected hub:ORG/NAME[@REVISION] or hub:datasets/ORG/NAME/FILE[@REVISION], of names that have letters, \
         digits, -, _ and . only, found {:?}",
        rapport_http::shorten(part)
    );
    Ok(())
}

/// Refuses a file's name that leads out of its folder, or that no folder can hold. A server's are no exception.
pub(crate) fn check_file(file: &str) -> Result<()> {
    let odd = |letter: char| letter.is_control() || letter == '\\';
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
    ensure!(
        file.len() <= LONG && !file.contains(odd) && file.split('/').all(part),
        "expected a file's path within its repository, found {:?}",
        rapport_http::shorten(file)
    );
    Ok(())
}

/// Refuses a revision that no reference can be called.
pub(crate) fn check_revision(revision: &str) -> Result<()> {
    let odd = |letter: char| {
        letter.is_control() || letter.is_whitespace() || "\\:?*[~^@".contains(letter)
    };
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.len() <= 255;
    ensure!(
        revision.len() <= LONG && !revision.contains(odd) && revision.split('/').all(part),
        "expected a branch, a tag or a commit after @, found {:?}",
        rapport_http::shorten(revision)
    );
    Ok(())
}

/// Whether a revision is a whole commit, which names itself.
pub(crate) fn is_commit(revision: &str) -> bool {
    is_hex(revision, 40)
}

/// Spells out what an address cannot hold; `/` stays where it is `kept`.
pub(crate) fn quoted(text: &str, kept: bool) -> String {
    let mut quoted = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                quoted.push(byte.into());
            }
            b'/' if kept => quoted.push('/'),
            _ => quoted += &format!("%{byte:02X}"),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_written_again() {
        for (text, dataset, id, file, revision) in [
            ("hub:a/b", false, "a/b", None, None),
            ("hub:gpt2", false, "gpt2", None, None),
            ("hub:a/b@main", false, "a/b", None, Some("main")),
            (
                "hub:a-1/b_2.x/sub/f@refs/pr/1",
                false,
                "a-1/b_2.x",
                Some("sub/f"),
                Some("refs/pr/1"),
            ),
            (
                "hub:datasets/a/b/c d.jsonl",
                true,
                "a/b",
                Some("c d.jsonl"),
                None,
            ),
            ("hub:datasets/a/b", true, "a/b", None, None),
        ] {
            let name = Name::parse(text).unwrap();
            assert_eq!((name.repo.dataset, &*name.repo.id), (dataset, id), "{text}");
            assert_eq!(
                (name.file.as_deref(), name.revision.as_deref()),
                (file, revision),
                "{text}"
            );
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for text in [
            "a/b",
            "hub:",
            "hub:a/",
            "hub:/b",
            "hub:a//c",
            "hub:../b",
            "hub:a/..",
            "hub:a/b/../c",
            "hub:a/b//c",
            "hub:a/b/",
            "hub:a/b@",
            "hub:a/b@../x",
            "hub:a/b@x/../y",
            "hub:a/b@x y",
            "hub:a/b@x@y",
            "hub:a b/c",
            "hub:datasets/a",
            "hub:a/b/c\\d",
            "hub:a/b/\u{1b}",
            "hub:a--b/c",
            "hub:-a/b",
            "hub:a/b.",
            "hub:a/b@/x",
            "hub:a/b@.x",
            "hub:ä/b",
        ] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
        assert!(Name::parse(&format!("hub:{}/b", "a".repeat(97))).is_err());
        assert!(Name::parse(&format!("hub:a/b/{}", "a/".repeat(5000))).is_err());
        assert!(Repo::model("a/b/c").is_err() && Repo::model("a").is_err());
    }

    #[test]
    fn addresses_are_spelt_out() {
        assert_eq!(quoted("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(quoted("a b/ü.x", true), "a%20b/%C3%BC.x");
        assert!(is_commit(&"0a".repeat(20)) && !is_commit(&"0A".repeat(20)) && !is_commit("0a"));
    }
}
