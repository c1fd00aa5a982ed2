//! Dialogue-NLI's evaluation items (Welleck et al., arXiv 1811.00671): a persona, a history, and
//! about 30 candidate replies of which one is the true one.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rapport_store::{BadInput, OrBadInput};
use serde::Deserialize;

use crate::lines::{BadLines, numbered, read_utf8, stem};
use crate::nli::{NliLabel, NliPair};
use crate::{RankingItem, Speaker, Turn};

#[derive(Deserialize)]
struct Row {
    persona: Vec<String>,
    prefix: Vec<String>,
    candidates: Candidates,
    relevant_persona_sentence: Option<String>,
}

#[derive(Deserialize)]
struct Candidates {
    label: Vec<String>,
    similar: Vec<String>,
    rand: Vec<String>,
    neg: Vec<String>,
}

impl Candidates {
    /// All, in the file's order, each with its label.
    fn labelled(self) -> impl Iterator<Item = (String, &'static str)> {
        [
            (self.label, HITS),
            (self.similar, ENTAIL),
            (self.rand, RANDOM),
            (self.neg, CONTRADICT),
        ]
        .into_iter()
        .flat_map(|(texts, label)| texts.into_iter().map(move |text| (text, label)))
    }
}

const HITS: &str = "hits";
const ENTAIL: &str = "entail";
const RANDOM: &str = "random";
const CONTRADICT: &str = "contradict";

/// The candidates of the items at `path`, each with the sentence of the persona that its item is about and how that
/// relates to it: entailment for the true reply and those similar to it, neutral for random ones, contradiction for the
/// others. An item without `relevant_persona_sentence` is an error.
///
/// # Errors
/// As [`dialogue_nli`].
pub fn nli_of_items(path: &Path) -> Result<Vec<NliPair>> {
    rows(path, |row, _| {
        let sentence = row.relevant_persona_sentence.ok_or(
            "expected \"relevant_persona_sentence\", the sentence that the candidates are about",
        )?;
        let pair = |(reply, label)| NliPair {
            sentence: sentence.clone(),
            reply,
            label: match label {
                CONTRADICT => NliLabel::Contradiction,
                RANDOM => NliLabel::Neutral,
                _ => NliLabel::Entailment,
            },
        };
        Ok(row.candidates.labelled().map(pair).collect::<Vec<_>>())
    })
    .map(|pairs| pairs.concat())
}

/// Reads items from a JSON Lines file, or from every such file of a folder, in the order of their
/// names. Candidates keep the file's text and are labelled `hits` (`label`), `entail` (`similar`),
/// `random` (`rand`) and `contradict` (`neg`), in this order. The last utterance of a history is the
/// user's and speakers alternate, so that a history of even length begins with the bot.
///
/// # Errors
/// An unreadable file, a folder without items; or every malformed line, with what was expected.
pub fn dialogue_nli(path: &Path) -> Result<Vec<RankingItem>> {
    rows(path, item)
}

/// What `read` makes of each row of a file, or of all files of a folder, and of what the row is called.
fn rows<T: Clone>(
    path: &Path,
    read: impl Fn(Row, String) -> Result<T, String> + Copy,
) -> Result<Vec<T>> {
    if !path.is_dir() {
        return read_file(path, read);
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
    let items: Result<Vec<_>> = files.iter().map(|file| read_file(file, read)).collect();
    Ok(items?.concat())
}

fn read_file<T>(path: &Path, read: impl Fn(Row, String) -> Result<T, String>) -> Result<Vec<T>> {
    let text = read_utf8(path)?;
    let mut bad = BadLines::new(path);
    let mut items = Vec::new();
    for (line, text) in numbered(&text) {
        let item = row(text).and_then(|row| read(row, format!("{}:{line}", stem(path))));
        match item {
            Ok(item) => items.push(item),
            Err(message) => bad.add(line, message),
        }
    }
    if text.trim().is_empty() {
        bad.add(1, "expected ranking items, found none");
    }
    bad.or(items)
}

fn row(text: &str) -> Result<Row, String> {
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
    let candidates = &row.candidates;
    for (texts, label) in [
        (&candidates.label, HITS),
        (&candidates.similar, ENTAIL),
        (&candidates.rand, RANDOM),
        (&candidates.neg, CONTRADICT),
    ] {
        if texts.iter().any(|text| text.trim().is_empty()) {
            return Err(format!("candidates: an empty reply labelled {label:?}"));
        }
    }
    Ok(row)
}

fn item(row: Row, id: String) -> Result<RankingItem, String> {
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
        id,
        persona: row.persona,
        history: history.collect(),
        candidates: row
            .candidates
            .labelled()
            .map(|(text, label)| (text, label.to_owned()))
            .collect(),
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
    fn candidates_are_pairs_with_the_sentence_that_they_are_about() {
        let dir = tempfile::tempdir().unwrap();
        let row = ITEM.replace('\n', " ");
        let path = dir.path().join("items.jsonl");
        let about = row.replacen('{', r#"{"relevant_persona_sentence": "i sail .","#, 1);
        fs::write(&path, format!("{about}\n")).unwrap();
        let pairs = nli_of_items(&path).unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|pair| (&*pair.sentence, &*pair.reply, pair.label))
            .collect();
        assert_eq!(
            pairs,
            [
                ("i sail .", "i sail a lot .", NliLabel::Entailment),
                ("i sail .", "sailing .", NliLabel::Entailment),
                ("i sail .", "blue .", NliLabel::Neutral),
                ("i sail .", "i hate boats .", NliLabel::Contradiction),
            ]
        );
        fs::write(&path, format!("{about}\n{row}\n")).unwrap();
        let error = nli_of_items(&path).unwrap_err().to_string();
        let expected = "items.jsonl:2: expected \"relevant_persona_sentence\"";
        assert!(error.contains(expected), "{error}");
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
