//! A model's card: what it was trained from, in the words that a hub reads.

use std::path::{Component, Path};

use crate::model::hf;
use crate::store::read_regular;

/// A model on a hub, at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub repo: String,
    pub commit: String,
}

/// Begins the line by which a card says it, for the cards of what is trained from there.
const LINE: &str = "The base model is ";
const AT: &str = " at commit ";

/// What opens a whole model, and what an adapter.
pub const WHOLE: &str = "transformers";
pub const ADAPTER: &str = "peft";

/// The card with the words that a hub reads before it, and the base model of the folder `like`, where that is known.
pub fn with_base(card: &str, library: &str, like: Option<&Path>) -> String {
    let base = like.and_then(base);
    let (head, line) = match base {
        Some(Base { repo, commit }) => (
            format!("base_model: {repo}\n"),
            format!("\n{LINE}{repo}{AT}{commit}.\n"),
        ),
        None => Default::default(),
    };
    format!("---\nlibrary_name: {library}\n{head}tags:\n- rapport\n---\n\n{card}{line}")
}

/// What a model folder, or the base of an adapter's, came from: where it lies in a hub's cache, else what its card says.
fn base(model: &Path) -> Option<Base> {
    let model = &hf::base_of(model).ok()?;
    in_cache(&model.canonicalize().ok()?).or_else(|| said(model))
}

/// What lies in a hub's cache: `.../models--ORG--NAME/snapshots/COMMIT/...`
pub fn in_cache(path: &Path) -> Option<Base> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    let parts: Vec<&str> = parts.collect();
    parts.windows(3).find_map(|parts| {
        let repo = parts[0].strip_prefix("models--")?;
        let commit = parts[2];
        (parts[1] == "snapshots" && is_commit(commit)).then(|| Base {
            repo: repo.replace("--", "/"),
            commit: commit.to_owned(),
        })
    })
}

fn said(model: &Path) -> Option<Base> {
    const LARGEST: u64 = 1 << 20;
    let card = read_regular(&model.join("README.md"), LARGEST).ok()?;
    let card = String::from_utf8(card).ok()?;
    let line = card.lines().find_map(|line| line.strip_prefix(LINE))?;
    let (repo, commit) = line.trim_end_matches('.').split_once(AT)?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    (is_commit(commit) && repo.chars().all(plain)).then(|| Base {
        repo: repo.to_owned(),
        commit: commit.to_owned(),
    })
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_told_from_card_to_card() {
        let root = tempfile::tempdir().unwrap();
        let commit = "0a".repeat(20);
        let snapshot = root
            .path()
            .join("models--org--name/snapshots")
            .join(&commit);
        std::fs::create_dir_all(&snapshot).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&snapshot, &link).unwrap();
        let first = with_base("# sft\n", WHOLE, Some(&link));
        assert!(
            first.starts_with("---\nlibrary_name: transformers\nbase_model: org/name\n"),
            "{first}"
        );
        let expected = format!("# sft\n\nThe base model is org/name at commit {commit}.\n");
        assert!(first.ends_with(&expected), "{first}");
        let folder = root.path().join("sft");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("README.md"), first).unwrap();
        assert!(with_base("# dpo\n", WHOLE, Some(&folder)).contains("base_model: org/name\n"));
        std::fs::write(
            folder.join("README.md"),
            "The base model is x\n at commit y",
        )
        .unwrap();
        for like in [None, Some(&*folder), Some(root.path())] {
            assert!(
                !with_base("# x\n", WHOLE, like).contains("base"),
                "{like:?}"
            );
        }
    }
}
