//! Dialogue-NLI's evaluation items (Welleck et al., arXiv 1811.00671): a persona, a history, and
//! about 30 candidate replies of which one is the true one.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rapport_store::{BadInput, OrBadInput};
use serde::Deserialize;

use crate::lines::{BadLines, numbered, read_utf8, stem};
use crate::{RankingItem, Speaker, Turn};

#[derive(Deserialize)]
struct Row {
    persona: Vec<String>,
    prefix: Vec<String>,
    candidates: Candidates,
}

#[derive(Deserialize)]
struct Candidates {
    label: Vec<String>,
    similar: Vec<String>,
    rand: Vec<String>,
    neg: Vec<String>,
}

/// Reads items from a JSON Lines file, or from every such file of a folder, in the order of their
/// names. Candidates keep the file's text and are labelled `hits` (`label`), `entail` (`similar`),
/// `random` (`rand`) and `contradict` (`neg`), in this order. The last utterance of a history is the
/// user's and speakers alternate, so that a history of even length begins with the bot.
///
/// # Errors
/// An unreadable file, a folder without items; or every malformed line, with what was expected.
pub fn dialogue_nli(path: &Path) -> Result<Vec<RankingItem>> {
    if !path.is_dir() {
        return read_file(path);
    }
    let mut files = Vec::new();
    let unread = || format!("cannot read {}", path.display());
    for entry in fs::read_dir(path).with_context(unread).or_bad_input()? {
        let file = entry.with_context(unread).or_bad_input()?.path();
        if file.extension().is_some_and(|ending| ending == "jsonl") {
            files.push(file);
        }
    }
    if files.is_empty() {
        let message = format!("{}: no .jsonl file of ranking items", path.display());
        return Err(BadInput(message).into());
    }
    files.sort();
    let items: Result<Vec<_>> = files.iter().map(|file| read_file(file)).collect();
    Ok(items?.concat())
}

fn read_file(path: &Path) -> Result<Vec<RankingItem>> {
    let text = read_utf8(path)?;
    let mut bad = BadLines::new(path);
    let mut items = Vec::new();
    for (line, text) in numbered(&text) {
        match item(text) {
            Ok(item) => items.push(RankingItem {
                id: format!("{}:{line}", stem(path)),
                ..item
            }),
            Err(message) => bad.add(line, message),
        }
    }
    if text.trim().is_empty() {
        bad.add(1, "expected ranking items, found none");
    }
    bad.or(items)
}

fn item(text: &str) -> Result<RankingItem, String> {
    let row: Row = serde_json::from_str(text).map_err(|error| {
        format!(
            "{error}; expected \"persona\", \"prefix\" and \"candidates\" with \"label\", \
             \"similar\", \"rand\" and \"neg\", all lists of strings"
        )
    })?;
    if row.candidates.label.len() != 1 {
        return Err(format!(
            "candidates.label: expected the one true reply, found {}",
            row.candidates.label.len()
        ));
    }
    let labelled = [
        (row.candidates.label, "hits"),
        (row.candidates.similar, "entail"),
        (row.candidates.rand, "random"),
        (row.candidates.neg, "contradict"),
    ];
    let candidates: Vec<(String, String)> = labelled
        .into_iter()
        .flat_map(|(texts, label)| texts.into_iter().map(move |text| (text, label.to_owned())))
        .collect();
    if let Some((_, label)) = candidates.iter().find(|(text, _)| text.trim().is_empty()) {
        return Err(format!("candidates: an empty reply labelled {label:?}"));
    }
    let utterances = row.prefix.len();
    let history = row
        .prefix
        .into_iter()
        .enumerate()
        .map(|(index, text)| Turn {
            speaker: match (utterances - index) % 2 {
                1 => Speaker::User,
                _ => Speaker::Bot,
            },
            text,
        });
    Ok(RankingItem {
        id: String::new(),
        persona: row.persona,
        history: history.collect(),
        candidates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str = r#"{"persona": ["i sail ."], "prefix": ["hi .", "ahoy !", "hobbies ?"],
        "triple": ["i", "like", "sailing"], "candidates": {"label": ["i sail a lot ."],
        "neg": ["i hate boats ."], "similar": ["sailing ."], "rand": ["blue ."]}}"#;

    #[test]
    fn candidates_are_labelled_and_the_user_speaks_last() {
        let dir = tempfile::tempdir().unwrap();
        let row = ITEM.replace('\n', " ");
        fs::write(dir.path().join("b.jsonl"), format!("{row}\n")).unwrap();
        let even = row.replace("\"hi .\", ", "");
        fs::write(dir.path().join("a.jsonl"), format!("\n{even}\n")).unwrap();
        fs::write(dir.path().join("notes.txt"), "no items").unwrap();
        let items = dialogue_nli(dir.path()).unwrap();
        let ids: Vec<_> = items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["a:2", "b:1"]);
        let labels: Vec<_> = items[1].candidates.iter().map(|c| c.1.as_str()).collect();
        assert_eq!(labels, ["hits", "entail", "random", "contradict"]);
        assert_eq!(items[1].candidates[3].0, "i hate boats .");
        let speakers: Vec<_> = items[0].history.iter().map(|t| t.speaker).collect();
        assert_eq!(speakers, [Speaker::Bot, Speaker::User]);
    }

    #[test]
    fn bad_items_are_named_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("items.jsonl");
        let row = ITEM.replace('\n', " ");
        let no_gold = row.replace("\"i sail a lot .\"", "");
        let empty = row.replace("\"blue .\"", "\" \"");
        let wrong = row.replace("\"neg\"", "\"not\"");
        fs::write(&path, [row, no_gold, empty, wrong].join("\n")).unwrap();
        let error = dialogue_nli(&path).unwrap_err().to_string();
        for expected in [
            "items.jsonl:2: candidates.label: expected the one true reply, found 0",
            "items.jsonl:3: candidates: an empty reply labelled \"random\"",
            "items.jsonl:4: missing field `neg`",
        ] {
            assert!(error.contains(expected), "{expected}\nnot in\n{error}");
        }
    }
}
