//! Replies that are kept as the ids they were drawn as, and whose ids these are.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::data::{Example, Examples, Tokenizer};
use crate::stage::artifact::measures::Measures;
use crate::store::{Hash, read_json, write_json};

/// The file beside an artifact's examples that says whose ids theirs are.
const FILE: &str = "drawn.json";

#[derive(Serialize, Deserialize)]
struct Drawn {
    /// [`Tokenizer::vocabulary_hash`]
    vocabulary: Hash,
}

/// Says that the ids of an artifact's completions are this tokenizer's.
///
/// # Errors
/// When the file cannot be written.
pub fn write(dir: &Path, tokenizer: &Tokenizer) -> Result<()> {
    let vocabulary = tokenizer.vocabulary_hash();
    write_json(&dir.join(FILE), &Drawn { vocabulary })
}

/// Says of examples that another artifact has handed on what that says of them.
///
/// # Errors
/// When the file cannot be copied.
pub fn hand_on(from: &Path, dir: &Path) -> Result<()> {
    let path = from.join(FILE);
    if path.try_exists()? {
        std::fs::copy(path, dir.join(FILE))?;
    }
    Ok(())
}

/// The examples of an artifact for a model with this tokenizer. Ids that another one gave mean other tokens to it, so
/// the completions are their text then, and that is noted.
///
/// # Errors
/// When the artifact's file is damaged.
pub fn readable<'a>(
    artifact: &Path,
    tokenizer: &Tokenizer,
    (examples, what): (Examples<'a>, &str),
    measures: &mut Measures,
) -> Result<Examples<'a>> {
    let path = artifact.join(FILE);
    if !path.try_exists()? {
        return Ok(examples);
    }
    let drawn: Drawn = read_json(&path)?;
    if drawn.vocabulary == tokenizer.vocabulary_hash() {
        return Ok(examples);
    }
    measures.note(format!(
        "{what}: its replies were drawn with another tokenizer, so that their text is read and not their tokens"
    ));
    Ok(Box::new(examples.map(|example| {
        let mut example = example?;
        for completion in &mut example.completions {
            completion.tokens = None;
        }
        Ok(example)
    })))
}

/// [`readable`], of examples that are all there.
///
/// # Errors
/// As there.
pub fn all_readable(
    artifact: &Path,
    tokenizer: &Tokenizer,
    (examples, what): (Vec<Example>, &str),
    measures: &mut Measures,
) -> Result<Vec<Example>> {
    let examples: Examples<'_> = Box::new(examples.into_iter().map(Ok));
    readable(artifact, tokenizer, (examples, what), measures)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Completion, Prompt, Role};

    #[test]
    fn ids_of_another_tokenizer_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let own = Tokenizer::train_bpe(vec!["hello there".into()], 270).unwrap();
        let other = Tokenizer::train_bpe(vec!["good morning".into()], 270).unwrap();
        let example = Example {
            id: "1".into(),
            group: String::new(),
            prompt: Prompt::Text("hi".into()),
            completions: vec![Completion {
                tokens: Some(vec![3, 0]),
                ..Completion::new(" hello", Role::Chosen)
            }],
            meta: Default::default(),
        };
        let read = |tokenizer: &Tokenizer, measures: &mut Measures| {
            let examples: Examples<'_> = Box::new(std::iter::once(Ok(example.clone())));
            let mut read = readable(dir.path(), tokenizer, (examples, "dpo"), measures).unwrap();
            read.next().unwrap().unwrap().completions.remove(0)
        };
        let mut measures = Measures::default();
        let kept = read(&other, &mut measures);
        assert_eq!(kept.tokens, Some(vec![3, 0]), "nobody has said whose");
        write(dir.path(), &own).unwrap();
        assert_eq!(read(&own, &mut measures), kept);
        assert_eq!(measures.notes, [""; 0]);
        assert_eq!(
            read(&other, &mut measures),
            Completion::new(" hello", Role::Chosen)
        );
        assert_eq!(measures.notes.len(), 1);
    }
}
