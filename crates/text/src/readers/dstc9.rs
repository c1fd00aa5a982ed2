//! The dialogues of DSTC9's interactive evaluation track (Gunasekara et al., arXiv 2011.06486), as the files
//! `chatbot*.json` published with FlowScore: people chat with eleven systems, and up to three others, whom the files do
//! not name, score each dialogue in eleven respects.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rapport_store::OrBadInput;

use crate::Scale;
use crate::lines::stem;
use crate::rated_table::{Columns, Found, ScoreColumns, Scores, TableForm, table};

/// The scale on which all scores are read.
pub const SCALE: Scale = Scale {
    low: 1.0,
    high: 5.0,
};

/// The files' keys, and the highest and lowest score that each can have there.
const ITEMS: [(&str, &str, f64, f64); 11] = [
    ("coherent", "coherent", 1.0, 3.0),
    ("consistent", "consistent", 0.0, 1.0),
    ("diverse", "diverse", 1.0, 3.0),
    ("error_recovery", "error recovery", 1.0, 3.0),
    ("flexible", "flexible", 1.0, 3.0),
    ("informative", "informative", 1.0, 3.0),
    ("inquisitive", "inquisitive", 1.0, 3.0),
    ("likeable", "likeable", 1.0, 3.0),
    ("overall", "human (overall)", 1.0, 5.0),
    ("topic_depth", "topic depth", 1.0, 3.0),
    ("understanding", "understanding", 1.0, 3.0),
];

/// Reads a file, or every `chatbot*.json` of a folder; a dialogue's `system` is its file's name. Items asked for on 1 to
/// 3 or on 0 to 1 are stretched to 1 to 5, and "N/A" is a missing score. Turns without text are left out.
///
/// # Errors
/// An unreadable file, a folder without such files; or every malformed row, by its item.
pub fn dstc9(path: &Path) -> Result<Found> {
    let form = TableForm {
        columns: Columns {
            text: Some("context".into()),
            ..Default::default()
        },
        scores: Scores::Named(
            ITEMS
                .iter()
                .map(|(impression, column, ..)| ScoreColumns {
                    impression: (*impression).to_owned(),
                    columns: vec![(*column).to_owned()],
                })
                .collect(),
        ),
        scale: SCALE,
        scales: ITEMS
            .iter()
            .map(|(impression, _, low, high)| {
                let scale = Scale {
                    low: *low,
                    high: *high,
                };
                ((*impression).to_owned(), scale)
            })
            .collect(),
        settable: false,
        sides: Default::default(),
    };
    let mut all = Found::default();
    for file in files(path).or_bad_input()? {
        let mut found = table(&file, &form)?;
        for row in &mut found.rows {
            row.system = stem(&file);
        }
        all.add(found);
    }
    Ok(all)
}

/// The files, those of a folder by number.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path
        .read_dir()
        .with_context(|| format!("cannot read {}", path.display()))?
    {
        let file = entry?.path();
        let is_json = file.extension().is_some_and(|ending| ending == "json");
        if is_json && stem(&file).starts_with("chatbot") {
            files.push(file);
        }
    }
    ensure!(
        !files.is_empty(),
        "{}: no file chatbot*.json; expected the folder of FlowScore's data",
        path.display()
    );
    files.sort_by_key(|file| {
        let name = stem(file);
        (name.len(), name)
    });
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(context: &str, overall: u64) -> Value {
        let mut row = json!({"context": context, "human (overall)": overall, "consistent": 1});
        for (_, key, ..) in ITEMS {
            if row.get(key).is_none() {
                row[key] = json!(3);
            }
        }
        row["likeable"] = json!("N/A");
        row["diverse"] = json!(2);
        row
    }

    #[test]
    fn the_rows_of_one_dialogue_are_its_raters() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (
            "User: hi\nSystem: \nUser: there?\nSystem: yes\n",
            "User: ho\nSystem: hm\n",
        );
        let write = |name: &str, rows: Value| {
            std::fs::write(dir.path().join(name), rows.to_string()).unwrap();
        };
        write(
            "chatbot2.json",
            json!([row(one, 4), row(one, 2), row(two, 5)]),
        );
        write("chatbot10.json", json!([row(one, 3)]));
        write("other.json", json!({}));
        let found = dstc9(dir.path()).unwrap();
        let systems: Vec<_> = found.rows.iter().map(|it| &*it.system).collect();
        assert_eq!(systems, ["chatbot2", "chatbot2", "chatbot10"]);
        let first = &found.rows[0];
        assert_eq!((first.ratings.len(), first.turns.len()), (2, 3));
        assert_eq!(first.mean("overall"), Some(3.0));
        // 1 of 0 to 1, 2 of 1 to 3.
        assert_eq!(first.mean("consistent"), Some(5.0));
        assert_eq!(first.mean("diverse"), Some(3.0));
        assert_eq!(first.mean("likeable"), None);
        assert_eq!((found.empty_turns, found.missing), (2, 4));
        write("chatbot2.json", json!([row(one, 4), row(two, 6)]));
        let error = dstc9(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(
                "item 2: human (overall): expected a number from 1 to 5 or an empty cell, found 6"
            ),
            "{error}"
        );
    }
}
