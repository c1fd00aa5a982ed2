//! Dialogues and examples in artifacts: `SPLIT.jsonl`, and `rows.json` where they are rows.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::template::dialogue_examples;
use crate::data::{Completion, Dialogue, Example, Examples, Role};
use crate::stage::settings::splits::{Group, Split};
use crate::store::{read_json, read_jsonl, stream_jsonl, write_json, write_with};

/// How the examples beside it are drawn: `rows.json` in the artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsSettings {
    pub shuffle: bool,
    pub by_dialogue: bool,
    /// Where not by dialogue: the replies of one row are drawn together.
    pub by_row: bool,
}

const FILE: &str = "rows.json";
const KWARGS_FILE: &str = "chat_template_kwargs.json";

impl RowsSettings {
    /// Reads the artifact's file.
    pub fn read(artifact: &Path) -> Result<Self> {
        read_json(&artifact.join(FILE))
    }

    /// Reads the artifact's file, if it holds rows at all.
    pub fn find(artifact: &Path) -> Result<Option<Self>> {
        let path = artifact.join(FILE);
        path.exists().then(|| read_json(&path)).transpose()
    }

    /// What a batch counts.
    pub fn group(self) -> Group {
        if self.by_dialogue {
            Group::Dialogue
        } else if self.by_row {
            Group::Row
        } else {
            Group::None
        }
    }
}

/// Writes examples as an artifact's split.
pub fn write_examples(
    dir: &Path,
    split: Split,
    examples: impl IntoIterator<Item = Result<Example>>,
) -> Result<()> {
    let path = dir.join(format!("{}.jsonl", split.name()));
    write_with(&path, |out| {
        for example in examples {
            serde_json::to_writer(&mut *out, &example?)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// What a chat template was given for every row of the artifact.
///
/// # Errors
/// A damaged file.
pub fn kwargs(artifact: &Path) -> Result<Map<String, Value>> {
    let path = artifact.join(KWARGS_FILE);
    match path.exists() {
        true => read_json(&path),
        false => Ok(Map::new()),
    }
}

/// Notes what a chat template was given for every row, if it was given anything.
///
/// # Errors
/// When it cannot be written.
pub fn write_kwargs(dir: &Path, kwargs: &Map<String, Value>) -> Result<()> {
    match kwargs.is_empty() {
        true => Ok(()),
        false => write_json(&dir.join(KWARGS_FILE), kwargs),
    }
}

/// Writes how the artifact's examples are drawn.
pub fn write_settings(dir: &Path, settings: RowsSettings) -> Result<()> {
    write_json(&dir.join(FILE), &settings)
}

/// Reads a split of an artifact, one example after the other; one that was never written is empty.
pub fn read_examples(artifact: &Path, split: Split) -> Result<Examples<'static>> {
    let path = artifact.join(format!("{}.jsonl", split.name()));
    if path.exists() {
        Ok(Box::new(stream_jsonl(&path)?))
    } else {
        Ok(Box::new(std::iter::empty()))
    }
}

impl Split {
    /// The split's dialogues.
    pub fn dialogues(self, artifact: &Path) -> Result<Vec<Dialogue>> {
        let path = artifact.join(format!("{}.jsonl", self.name()));
        let dialogues: Vec<Dialogue> = read_jsonl(&path)?;
        if dialogues.is_empty() {
            bail!("{}: no dialogues", path.display());
        }
        Ok(dialogues)
    }

    /// The split's examples, of rows or one for each reply of a dialogue, read as they are asked for.
    pub fn examples(self, artifact: &Path) -> Result<Examples<'static>> {
        if RowsSettings::find(artifact)?.is_some() {
            return read_examples(artifact, self);
        }
        let path = artifact.join(format!("{}.jsonl", self.name()));
        let mut dialogues = stream_jsonl::<Dialogue>(&path)?.peekable();
        if dialogues.peek().is_none() {
            bail!("{}: no dialogues", path.display());
        }
        Ok(Box::new(dialogues.flat_map(|dialogue| match dialogue {
            Ok(dialogue) => dialogue_examples(&dialogue).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })))
    }

    /// The split as plain text, for training a tokenizer: of each dialogue the last example, which holds
    /// all the others.
    pub fn texts(self, artifact: &Path) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        let mut examples = self.examples(artifact)?.peekable();
        while let Some(example) = examples.next() {
            let Example {
                group,
                prompt,
                completions,
                ..
            } = example?;
            let more = |next: &Result<Example>| {
                let next = next.as_ref();
                next.is_ok_and(|next| !group.is_empty() && next.group == group)
            };
            if !examples.peek().is_some_and(more) {
                texts.extend(completions.first().map(|it| prompt.text() + &it.text));
            }
        }
        if texts.is_empty() {
            bail!("{}: its {} split is empty", artifact.display(), self.name());
        }
        Ok(texts)
    }
}

/// What a stage takes of its examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// All completions.
    All,
    /// What is to be imitated: no rejected or undesirable completion.
    Good,
    /// Each completion as an example of its own, desirable or not.
    Labelled,
}

impl Take {
    /// The example, or the examples, that it becomes; none where nothing of it is wanted.
    pub fn of(self, mut example: Example) -> Vec<Example> {
        match self {
            Take::All => vec![example],
            Take::Good => {
                let bad = |role: &Role| matches!(role, Role::Rejected | Role::Undesirable);
                example.completions.retain(|it| !bad(&it.role));
                let wanted = !example.completions.is_empty();
                wanted.then_some(example).into_iter().collect()
            }
            Take::Labelled => {
                let completions = std::mem::take(&mut example.completions);
                let one = |mut completion: Completion| {
                    completion.role = match completion.role {
                        Role::Rejected | Role::Undesirable => Role::Undesirable,
                        _ => Role::Desirable,
                    };
                    Example {
                        completions: vec![completion],
                        ..example.clone()
                    }
                };
                completions.into_iter().map(one).collect()
            }
        }
    }

    /// Takes it of every example.
    pub fn of_all(self, examples: Examples<'_>) -> Examples<'_> {
        Box::new(examples.flat_map(move |example| match example {
            Ok(example) => self.of(example).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }))
    }
}

/// A split's examples, one a prompt, in an order that is the same for every model and seed; `limit` of them, 0
/// for all. Where they are drawn by dialogue, all prompts of one come one after the other, but for the last, which may be
/// left early.
///
/// # Errors
/// When there are none, or they cannot be read.
pub fn prompts(artifact: &Path, split: Split, limit: usize, group: Group) -> Result<Vec<Example>> {
    let mut seen = HashSet::new();
    let mut examples = Vec::new();
    for example in split.examples(artifact)? {
        let example = example?;
        if seen.insert(blake3::hash(example.prompt.text().as_bytes())) {
            examples.push(example);
        }
    }
    ensure!(
        !examples.is_empty(),
        "{}: its {} split is empty",
        artifact.display(),
        split.name()
    );
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    if group == Group::Dialogue {
        let mut dialogues: Vec<Vec<Example>> = examples
            .chunk_by(|a, b| !a.group.is_empty() && a.group == b.group)
            .map(<[Example]>::to_vec)
            .collect();
        dialogues.shuffle(&mut rng);
        examples = dialogues.concat();
    } else {
        examples.shuffle(&mut rng);
    }
    if limit > 0 {
        examples.truncate(limit);
    }
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Prompt;

    fn drawn(limit: usize, group: Group) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let example = |dialogue: usize, turn: usize| Example {
            id: format!("{dialogue}.{turn}"),
            // Two rows that nobody has called a dialogue.
            group: [String::new(), format!("{dialogue}")][usize::from(dialogue > 1)].clone(),
            prompt: Prompt::Text(format!("{dialogue} {turn}")),
            completions: vec![Completion::new("a", Role::Reply)],
            meta: Map::new(),
        };
        let all = (0..8).flat_map(|dialogue| {
            let turns = [1, 3][usize::from(dialogue > 1)];
            (0..turns).map(move |turn| (dialogue, turn))
        });
        let all = all.map(|(dialogue, turn)| Ok(example(dialogue, turn)));
        write_examples(dir.path(), Split::Test, all).unwrap();
        let rows = RowsSettings {
            shuffle: false,
            by_dialogue: true,
            by_row: false,
        };
        write_settings(dir.path(), rows).unwrap();
        let drawn = prompts(dir.path(), Split::Test, limit, group).unwrap();
        drawn.into_iter().map(|it| it.id).collect()
    }

    #[test]
    fn prompts_drawn_by_dialogue_stay_together_in_their_order() {
        let all = drawn(0, Group::Dialogue);
        assert_eq!(all.len(), 20);
        let dialogue = |id: &str| id.split('.').next().map(str::to_owned);
        let runs: Vec<&[String]> = all.chunk_by(|a, b| dialogue(a) == dialogue(b)).collect();
        assert_eq!(runs.len(), 8, "{all:?}");
        assert!(runs.iter().all(|run| run.is_sorted()), "{all:?}");
        let order: Vec<&String> = runs.iter().map(|run| &run[0]).collect();
        assert!(!order.is_sorted(), "dialogues are not shuffled: {all:?}");
        assert_eq!(drawn(7, Group::Dialogue), all[..7]);
    }

    #[test]
    fn prompts_drawn_one_by_one_are_of_many_dialogues() {
        let few = drawn(7, Group::None);
        assert_eq!(few, drawn(0, Group::None)[..7]);
        let dialogues: HashSet<&str> = few.iter().filter_map(|it| it.split('.').next()).collect();
        assert!(dialogues.len() > 3, "{few:?}");
    }
}
