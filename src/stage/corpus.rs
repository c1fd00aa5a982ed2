//! Reading dialogues and examples from artifacts, and turning them into what a model trains on.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::data::encode::encode_all;
use crate::data::template::dialogue_examples;
use crate::data::{Dialogue, Example, Tokenizer};
use crate::stage::keys::Keys;
use crate::stage::measures::Measures;
use crate::store::read_jsonl;
use crate::train::{Dataset, Sequence, TrainExample};

/// Which file of a dialogues artifact is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Pretrain,
    Train,
    Valid,
    Test,
}

impl Split {
    /// Reads the key `split`.
    pub fn read(keys: &mut Keys<'_>, default: &'static str) -> Self {
        let all = [Split::Train, Split::Pretrain, Split::Valid, Split::Test];
        keys.one_of("split", default, &all.map(|split| (split.name(), split)))
    }

    /// The file's stem.
    pub fn name(self) -> &'static str {
        match self {
            Split::Pretrain => "pretrain",
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }

    /// The split's dialogues.
    pub fn dialogues(self, artifact: &Path) -> Result<Vec<Dialogue>> {
        let path = artifact.join(format!("{}.jsonl", self.name()));
        let dialogues: Vec<Dialogue> = read_jsonl(&path)?;
        if dialogues.is_empty() {
            bail!("{}: no dialogues", path.display());
        }
        Ok(dialogues)
    }

    /// One example for each reply of the split.
    pub fn examples(self, artifact: &Path) -> Result<Vec<Example>> {
        let dialogues = self.dialogues(artifact)?;
        Ok(dialogues.iter().flat_map(dialogue_examples).collect())
    }

    /// The split as plain text, one string a dialogue, for training a tokenizer.
    pub fn texts(self, artifact: &Path) -> Result<Vec<String>> {
        let dialogues = self.dialogues(artifact)?;
        Ok(dialogues.iter().filter_map(whole_text).collect())
    }
}

/// A dialogue as the text of its last example, which holds all the others.
fn whole_text(dialogue: &Dialogue) -> Option<String> {
    let last = dialogue_examples(dialogue).pop()?;
    Some(last.prompt.text() + &last.completions[0].text)
}

/// How examples become batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// A batch counts single examples.
    None,
    /// A batch counts dialogues: all examples of one are kept together and share its prefix.
    Dialogue,
}

impl Group {
    /// Reads the key `group`.
    pub fn read(keys: &mut Keys<'_>, default: &'static str) -> Self {
        keys.doc(
            "what a batch counts: single examples, or whole dialogues which share their prefix",
        )
        .one_of(
            "group",
            default,
            &[("none", Group::None), ("dialogue", Group::Dialogue)],
        )
    }
}

/// Settings of tokenisation.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub max_length: usize,
    pub group: Group,
    pub shuffle: bool,
}

/// Tokenises examples with an EOS after each completion, counting what `max_length` cuts off.
pub fn dataset(
    examples: &[Example],
    tokenizer: &Tokenizer,
    encoding: Encoding,
    what: &str,
    measures: &mut Measures,
) -> Result<Dataset> {
    let (mut cut_prompts, mut cut_completions, mut dropped_turns) = (0, 0, 0);
    let mut tokenised = Vec::with_capacity(examples.len());
    let encoded = encode_all(tokenizer, examples, encoding.max_length, true)
        .with_context(|| what.to_owned())?;
    for (example, encoded) in examples.iter().zip(encoded) {
        let mut sequences = Vec::with_capacity(encoded.len());
        for encoded in encoded {
            cut_prompts += usize::from(encoded.cut_prompt_tokens > 0);
            cut_completions += usize::from(encoded.cut_completion_tokens > 0);
            dropped_turns += encoded.dropped_turns;
            // The very first token of a sequence has nothing before it to be predicted from.
            let scored_from = encoded.prompt_len.max(1);
            if scored_from >= encoded.tokens.len() {
                bail!(
                    "{what}: example {}: a single token without a prompt cannot be scored; give it \
                     a prompt",
                    example.id
                );
            }
            sequences.push(Sequence {
                tokens: encoded.tokens,
                scored_from,
            });
        }
        tokenised.push(TrainExample {
            sequences,
            reference: Vec::new(),
        });
    }
    if cut_prompts + cut_completions > 0 {
        measures.note(format!(
            "{what}: max_length {} cut {cut_prompts} prompts ({dropped_turns} whole turns, oldest \
             first) and {cut_completions} completions of {}",
            encoding.max_length,
            examples.len()
        ));
    }
    Ok(Dataset {
        units: units(examples, encoding.group),
        examples: tokenised,
        shuffle: encoding.shuffle,
    })
}

fn units(examples: &[Example], group: Group) -> Vec<Vec<usize>> {
    if group == Group::None {
        return (0..examples.len()).map(|i| vec![i]).collect();
    }
    let mut units: Vec<Vec<usize>> = Vec::new();
    let mut of: HashMap<&str, usize> = HashMap::new();
    for (index, example) in examples.iter().enumerate() {
        let unit = *of.entry(&example.group).or_insert_with(|| {
            units.push(Vec::new());
            units.len() - 1
        });
        units[unit].push(index);
    }
    units
}
