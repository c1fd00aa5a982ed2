//! Reading dialogues and examples from artifacts, and turning them into what a model trains on.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::data::encode::{EncodedExample, Limits, encode_all};
use crate::data::{Example, Role, Tokenizer};
use crate::model::forest::Branch;
use crate::stage::artifact::measures::Measures;
use crate::stage::settings::splits::Group;
use crate::stage::work::tokens::cuts::Cut;
use crate::train::{Dataset, ExamplesWriter, Units};

/// Settings of tokenisation.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub max_length: usize,
    /// The share of a prompt's tokens that must be left.
    pub min_prompt_kept: f64,
    pub group: Group,
    pub shuffle: bool,
}

/// Examples tokenised at once, on all cores.
const CHUNK: usize = 512;

/// Tokenises examples with an EOS after each completion that no template has ended, counting what
/// `max_length` cuts off. Tokens go to nameless files in `dir`, so that a data set need not fit in memory.
///
/// # Errors
/// An example that cannot be read, tokenised or scored, by its id; prompts of which too little is
/// left; or a failure to write.
pub fn dataset(
    examples: impl IntoIterator<Item = Result<Example>>,
    tokenizer: &Tokenizer,
    encoding: Encoding,
    what: &str,
    dir: &Path,
    measures: &mut Measures,
) -> Result<Dataset> {
    tokenised(examples, tokenizer, (encoding, true), what, dir, measures)
}

/// [`dataset`], with an EOS only where that is asked for beside the encoding.
///
/// # Errors
/// As [`dataset`].
pub fn tokenised(
    examples: impl IntoIterator<Item = Result<Example>>,
    tokenizer: &Tokenizer,
    (encoding, append_eos): (Encoding, bool),
    what: &str,
    dir: &Path,
    measures: &mut Measures,
) -> Result<Dataset> {
    let mut cut = Cut::new(encoding.min_prompt_kept);
    let mut writer = ExamplesWriter::files(dir)?;
    let mut groups = Groups::default();
    let mut examples = examples.into_iter();
    let mut labels = Vec::new();
    let mut count = 0;
    loop {
        let chunk: Vec<Example> = examples.by_ref().take(CHUNK).collect::<Result<_>>()?;
        if chunk.is_empty() {
            break;
        }
        let limits = Limits {
            max_length: encoding.max_length,
            append_eos,
        };
        let encoded = encode_all(tokenizer, &chunk, limits)?;
        for (example, encoded) in chunk.iter().zip(&encoded) {
            cut.add(&example.id, &encoded.cuts);
            push(&mut writer, encoded).with_context(|| format!("example {}", example.id))?;
            match example.completions[0].role {
                Role::Desirable => labels.push(true),
                Role::Undesirable => labels.push(false),
                _ => {}
            }
            match encoding.group {
                Group::None => {}
                Group::Row => groups.go_on(row_of(example)),
                Group::Dialogue => groups.add(&example.group),
            }
        }
        count += chunk.len();
    }
    let limit = format!("max_length {}", encoding.max_length);
    let remedy = "raise max_length";
    cut.settle((what, &limit), remedy, measures)?;
    let mut examples = writer.finish()?;
    examples.set_desirable(labels);
    Ok(Dataset {
        units: match encoding.group {
            Group::None => Units::Single(count),
            Group::Row | Group::Dialogue => Units::of(&groups.of),
        },
        examples,
        shuffle: encoding.shuffle,
    })
}

/// Adds an example's sequences, each up to the last token of it that is scored: nobody reads what follows.
fn push(writer: &mut ExamplesWriter, encoded: &EncodedExample) -> Result<()> {
    let start = encoded.prompt.len() as u32;
    let mut sequences = Vec::with_capacity(encoded.completions.len());
    for completion in &encoded.completions {
        let mut tokens = [&encoded.prompt[..], &completion.tokens].concat();
        let moved = |[from, to]: &[u32; 2]| [from + start, to + start];
        let mut unscored: Vec<[u32; 2]> = completion.unscored.iter().map(moved).collect();
        if let Some(&[from, _]) = unscored.last().filter(|it| it[1] as usize == tokens.len()) {
            tokens.truncate(from as usize);
            unscored.pop();
        }
        // Nothing predicts the first token of all.
        if start == 0 {
            unscored.iter_mut().for_each(|gap| gap[0] = gap[0].max(1));
            unscored.retain(|[from, to]| from < to);
        }
        sequences.push((tokens, unscored));
    }
    let scored_from = encoded.prompt.len().max(1);
    let branches: Vec<Branch> = sequences
        .iter()
        .map(|(tokens, unscored)| Branch {
            tokens,
            scored_from,
            unscored,
        })
        .collect();
    // The places are asked for, since fewer tokens than the prompt's have none.
    if branches.iter().any(|it| it.places().next().is_none()) {
        bail!("a single token without a prompt cannot be scored; give it a prompt");
    }
    writer.push(branches)
}

/// The row of a user's file that an example is from: ids are "row 3", or "row 3:5" for the message of
/// that index.
fn row_of(example: &Example) -> &str {
    example.id.split(':').next().unwrap_or_default()
}

/// The groups that examples are of, numbered by first appearance and known by hash.
#[derive(Default)]
struct Groups {
    known: HashMap<[u8; 16], u32>,
    of: Vec<u32>,
    last: String,
}

impl Groups {
    /// Adds an example to the last one's group if that has the same name, else to a new one.
    fn go_on(&mut self, name: &str) {
        let group = match self.of.last() {
            Some(&group) if self.last == name => group,
            Some(&group) => group + 1,
            None => 0,
        };
        self.of.push(group);
        name.clone_into(&mut self.last);
    }

    fn add(&mut self, name: &str) {
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]);
        let next = self.known.len() as u32;
        self.of.push(*self.known.entry(key).or_insert(next));
    }
}

#[cfg(test)]
mod tests;
