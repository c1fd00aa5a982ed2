//! What is wrong with a recipe, and how it is shown: by place, each once, at a length that can be read.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line (from 1) of a file.
    File {
        /// The file as the user named it.
        file: Arc<Path>,
        /// The line, from 1.
        line: usize,
    },
    /// A command line argument, as it would be typed: `--set sft.learning_rate=1e-3`.
    Argument(Arc<str>),
}

impl Origin {
    /// A command line argument.
    pub fn argument(text: impl Into<Arc<str>>) -> Self {
        Self::Argument(text.into())
    }

    /// Whether the value was written in `path`.
    pub fn is_in(&self, path: &Path) -> bool {
        matches!(self, Self::File { file, .. } if **file == *path)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Argument(text) => f.write_str(&beginning(text, LINE)),
        }
    }
}

/// What a user may not have, though the recipe is sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lacks {
    #[default]
    Nothing,
    /// Data or a model, which may be named later.
    Path,
    /// An environment variable.
    Variable,
}

/// Something wrong with a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// Full key, such as `stage.sft.learning_rate`; empty when it concerns a whole file.
    pub key: String,
    /// What was expected, what was found, and the remedy where it is not plain.
    pub message: String,
    /// Whether only something is missing that another user may have; the recipe itself is sound.
    pub lacks: Lacks,
}

impl Problem {
    /// A problem with what is written at `origin` as `key`.
    pub fn new(origin: Origin, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            origin,
            key: key.into(),
            message: message.into(),
            lacks: Lacks::Nothing,
        }
    }
}

/// Problems of one sort that are listed.
const SHOWN: usize = 20;

impl Problem {
    /// The first two words of its message, by which a long list is cut.
    fn sort(&self) -> String {
        let words: Vec<&str> = self.message.split_whitespace().take(2).collect();
        let words = words.join(" ");
        brief(words.trim_end_matches([',', ';', ':'])).into_owned()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.origin, self.message),
            key => write!(
                f,
                "{}: {}: {}",
                self.origin,
                beginning(key, LINE),
                self.message
            ),
        }
    }
}

/// Every problem found, to be shown at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The problems by file and line, those of command line arguments last, each once.
    pub fn in_order(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_cached_key(|problem| match &problem.origin {
            Origin::File { file, line } => (false, Some(file.clone()), *line),
            Origin::Argument(_) => (true, None, 0),
        });
        problems.dedup();
        Self(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorts: IndexMap<String, usize> = IndexMap::new();
        let mut lines = Vec::new();
        for problem in &self.0 {
            let count = sorts.entry(problem.sort()).or_default();
            *count += 1;
            if *count <= SHOWN {
                lines.push(problem.to_string());
            }
        }
        for (sort, count) in sorts {
            if count > SHOWN {
                let more = count - SHOWN;
                lines.push(format!("... and {more} more that begin with \"{sort}\""));
            }
        }
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Characters of a name or value of the user's that a message shows.
const BRIEF: usize = 60;

/// Characters that it shows of a path of keys, or of an argument.
const LINE: usize = 200;

/// The beginning of a name or value that is too long to be shown, or all of it.
pub fn brief(text: &str) -> Cow<'_, str> {
    beginning(text, BRIEF)
}

fn beginning(text: &str, length: usize) -> Cow<'_, str> {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// The known name nearest to what was written, if it is near enough to be a slip.
pub fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    // A slip is of a name that a person typed, among names that a person could read.
    if written.len() > 2 * BRIEF || known.len() > 10 * SHOWN {
        return None;
    }
    let length = written.chars().count();
    known
        .iter()
        .filter(|name| name.len() <= 2 * BRIEF)
        .map(|name| (strsim::osa_distance(written, name), *name))
        .filter(|(distance, name)| {
            let known = name.chars().count();
            *distance <= 1 + known / 4 && *distance < length.min(known)
        })
        .min()
        .map(|(_, name)| name)
}

/// `, did you mean NEAREST? known PLURAL: ...`, to end a message about an unknown name.
pub fn suggest(written: &str, plural: &str, known: &[&str]) -> String {
    const LISTED: usize = 100;
    let mut text = match nearest(written, known) {
        Some(name) => format!(", did you mean {name}?"),
        None => ";".into(),
    };
    let names: Vec<_> = known.iter().take(LISTED).map(|name| brief(name)).collect();
    let list = match (known.len(), known.len().checked_sub(LISTED)) {
        (0, _) => "none".into(),
        (_, Some(more @ 1..)) => format!("{} and {more} more", names.join(", ")),
        _ => names.join(", "),
    };
    text.push_str(&format!(" known {plural}: {list}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_does_not() {
        let known = ["learning_rate", "max_steps", "beta"];
        for (written, found) in [
            ("learing_rate", Some("learning_rate")),
            ("bate", Some("beta")),
            ("batch_size", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, &known), found, "{written}");
        }
        let long = "a".repeat(30_000);
        assert_eq!(nearest(&long, &[&long]), None);
    }

    #[test]
    fn twenty_problems_of_a_sort_are_listed_and_the_rest_counted() {
        let problem = |line: usize, message: &str| {
            let file = Path::new("r.toml").into();
            Problem::new(Origin::File { file, line }, "k".repeat(line), message)
        };
        let mut problems: Vec<Problem> = (1..=300)
            .map(|line| problem(line, "unknown key; x"))
            .collect();
        problems.push(problem(301, "a cycle: a"));
        let text = Problems::in_order(problems).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 22);
        assert!(lines[20].ends_with(": a cycle: a") && lines[20].len() < LINE + 40);
        assert_eq!(
            lines[21],
            "... and 280 more that begin with \"unknown key\""
        );
    }
}
