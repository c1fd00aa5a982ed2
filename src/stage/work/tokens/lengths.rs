//! The lengths of a file's rows in tokens, what a limit would cut of them, and a few as the model reads them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::data::encode::{Limits, encode_all};
use crate::data::rows::{labelled_rows, preference_rows, sft_rows};
use crate::data::survey::Form;
use crate::data::{Example, Examples, Reading, Tokenizer};
use crate::stage::artifact::measures::Measures;
use crate::stage::settings::splits::Group;
use crate::stage::work::tokens::cuts::Cut;
use crate::stage::work::tokens::dataset::{Encoding, dataset};
use crate::stage::work::training::preview;

/// Rows that are shown.
const SHOWN: usize = 3;

/// Examples tokenised at once.
const CHUNK: usize = 256;

/// How many texts have each length.
#[derive(Clone, Debug, Default)]
pub struct Lengths(BTreeMap<usize, usize>);

impl Lengths {
    fn add(&mut self, length: usize) {
        *self.0.entry(length).or_default() += 1;
    }

    /// The shortest length that the share `part` of all texts does not exceed.
    pub fn quantile(&self, part: f64) -> usize {
        let all: usize = self.0.values().sum();
        let wanted = (part * all as f64).ceil().max(1.0) as usize;
        let mut so_far = 0;
        let mut lengths = self.0.iter();
        let found = lengths.find(|(_, count)| {
            so_far += **count;
            so_far >= wanted
        });
        found.map_or(0, |(length, _)| *length)
    }
}

/// What is known of a file's examples once they are tokenised.
#[derive(Debug, Default)]
pub struct Tokenised {
    pub examples: usize,
    pub prompts: Lengths,
    pub completions: Lengths,
    /// Prompt and longest completion.
    pub whole: Lengths,
    /// What a limit would cut, and the numbers that the note names.
    pub cut: Vec<String>,
    pub numbers: BTreeMap<String, f64>,
    /// What reading the rows gives cause to remark, with its count.
    pub remarks: BTreeMap<String, usize>,
    /// The first rows, scored tokens in brackets.
    pub shown: Vec<Shown>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub id: String,
    pub text: String,
}

/// Tokenises all rows of a file as training would, `max_length` tokens at most.
///
/// # Errors
/// Bad rows, all by their place; one that cannot be tokenised, by its id.
pub fn tokenised(
    path: &Path,
    form: Form,
    tokenizer: &Tokenizer,
    (split, max_length): (Option<&'static str>, Option<usize>),
) -> Result<Tokenised> {
    let mut reading = Reading::by(tokenizer.template()?, form == Form::Completions);
    reading.split = split;
    let examples: Examples<'_> = match form {
        Form::Preferences => preference_rows(path, &reading)?,
        Form::Labels => labelled_rows(path, &reading)?,
        Form::Completions => sft_rows(path, &reading)?,
    };
    let mut found = Tokenised {
        remarks: reading.take_remarks(),
        ..Tokenised::default()
    };
    let most = max_length.unwrap_or(usize::MAX);
    let limits = |max_length| Limits {
        max_length,
        append_eos: true,
    };
    let mut cut = Cut::new(0.0);
    let mut first: Vec<Example> = Vec::new();
    let mut examples = examples.into_iter();
    loop {
        let chunk: Vec<Example> = examples.by_ref().take(CHUNK).collect::<Result<_>>()?;
        if chunk.is_empty() {
            break;
        }
        let whole = encode_all(tokenizer, &chunk, limits(usize::MAX))?;
        let mut over = Vec::new();
        for (example, encoded) in chunk.iter().zip(whole) {
            let completions = encoded.completions.iter().map(|it| it.tokens.len());
            found.prompts.add(encoded.prompt.len());
            let longest = completions.clone().max().unwrap_or(0);
            completions.for_each(|length| found.completions.add(length));
            let length = encoded.prompt.len() + longest;
            found.whole.add(length);
            match length > most {
                true => over.push(example.clone()),
                false => cut.add(&example.id, &encoded.cuts),
            }
        }
        for (example, encoded) in over.iter().zip(encode_all(tokenizer, &over, limits(most))?) {
            cut.add(&example.id, &encoded.cuts);
        }
        found.examples += chunk.len();
        let room = SHOWN - first.len();
        first.extend(chunk.into_iter().take(room));
    }
    let mut measures = Measures::default();
    if let Some(max_length) = max_length {
        let limit = format!("max_length {max_length}");
        cut.settle(("rows", &limit), "", &mut measures)?;
    }
    (found.cut, found.numbers) = (measures.notes, measures.numbers);
    found.shown = shown(first, tokenizer, max_length)?;
    Ok(found)
}

/// Examples as the model reads them.
fn shown(
    examples: Vec<Example>,
    tokenizer: &Tokenizer,
    max_length: Option<usize>,
) -> Result<Vec<Shown>> {
    let ids: Vec<String> = examples.iter().map(|example| example.id.clone()).collect();
    let encoding = Encoding {
        max_length: max_length.unwrap_or(usize::MAX),
        min_prompt_kept: 0.0,
        group: Group::None,
        shuffle: false,
    };
    let dir = tempfile::tempdir()?;
    let examples = examples.into_iter().map(Ok);
    let mut measures = Measures::default();
    let train = dataset(
        examples,
        tokenizer,
        encoding,
        "rows",
        dir.path(),
        &mut measures,
    )?;
    let shown = ids.into_iter().enumerate().map(|(number, id)| {
        let text = preview::example(tokenizer, &train, number)?;
        Ok(Shown { id, text })
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_lengths_that_occur() {
        let mut lengths = Lengths::default();
        assert_eq!(lengths.quantile(0.5), 0);
        for length in [5, 1, 9, 5] {
            lengths.add(length);
        }
        let found = [0.0, 0.25, 0.5, 0.75, 0.76, 1.0].map(|part| lengths.quantile(part));
        assert_eq!(found, [1, 1, 5, 5, 9, 9]);
    }
}
