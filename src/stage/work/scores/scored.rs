//! What a scoring head reads: whole texts, each read at its last real token.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::data::chat::{Beside, ChatTemplate};
use crate::data::encode::{Limits, encode_all};
use crate::data::render::{turn_messages, whole};
use crate::data::{Completion, Example, Prompt, Rated, Role, Tokenizer, Turn, template};
use crate::model::DecoderConfig;
use crate::model::forest::Branch;
use crate::stage::artifact::measures::Measures;
use crate::stage::work::tokens::cuts::Cut;
use crate::store::BadInput;
use crate::train::{Dataset, ExamplesWriter, Units};

/// A rated dialogue as a prompt and its last turn, by the chat template if one is given.
///
/// # Errors
/// What the template refuses, by the row's id.
pub fn of_dialogue(row: &Rated, template: Option<&ChatTemplate>) -> Result<Example> {
    let example = match template {
        Some(template) => {
            let found = whole(template, &turn_messages(&row.turns), &Beside::default())
                .map_err(|error| BadInput(format!("dialogue {}: {error:#}", row.id)));
            let (prompt, last) = found?;
            of_replies(&prompt, &[last])
        }
        None => of_turns(&row.turns),
    };
    Ok(Example {
        id: row.id.clone(),
        group: row.dialogue.clone(),
        ..example
    })
}

/// A dialogue's turns as a prompt and the last of them.
pub fn of_turns(turns: &[Turn]) -> Example {
    let (prompt, last) = template::transcript(turns);
    of_replies(&prompt, &[last])
}

/// Replies to one prompt, to be scored beside each other.
pub fn of_replies(prompt: &Prompt, replies: &[String]) -> Example {
    let completion = |text: &String| Completion::new(text.clone(), Role::Reply);
    Example {
        id: String::new(),
        group: String::new(),
        prompt: prompt.clone(),
        completions: replies.iter().map(completion).collect(),
        meta: Default::default(),
    }
}

/// The configuration with the padding token that the tokenizer fills rows with, if it has one: transformers finds the
/// last real token by the configuration's.
pub fn padded(config: DecoderConfig, tokenizer: &Tokenizer) -> DecoderConfig {
    DecoderConfig {
        pad: tokenizer.pad().or(config.pad),
        ..config
    }
}

/// How examples are tokenised for a scoring head.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// How long a text may be, and whether an EOS follows what no template has ended.
    pub limits: Limits,
    /// What that length is called and what leaves more of a text.
    pub limit: &'a str,
    pub remedy: &'a str,
    /// The share of a prompt's tokens that must be left.
    pub min_prompt_kept: f64,
}

/// Tokenises examples for the scoring head of a model like `config`, one sequence a completion. What is too
/// long is cut alike for all completions of an example, and counted.
///
/// A sequence is read at the last token that is not padding, as transformers does. What stands behind it is
/// a token that is scored in name only, since a forest reads a scored token's parent.
///
/// # Errors
/// A text without a token, by its example's id; prompts of which too little is left.
pub fn dataset(
    examples: &[Example],
    tokenizer: &Tokenizer,
    config: &DecoderConfig,
    (reading, what): (Reading<'_>, &str),
    dir: Option<&Path>,
    measures: &mut Measures,
) -> Result<Dataset> {
    let mut writer = match dir {
        Some(dir) => ExamplesWriter::files(dir)?,
        None => ExamplesWriter::memory(),
    };
    let mut cut = Cut::new(reading.min_prompt_kept);
    for chunk in examples.chunks(512) {
        let encoded =
            encode_all(tokenizer, chunk, reading.limits).with_context(|| what.to_owned())?;
        for (example, encoded) in chunk.iter().zip(encoded) {
            cut.add(&example.id, &encoded.cuts);
            let mut sequences = Vec::with_capacity(encoded.completions.len());
            for completion in &encoded.completions {
                let mut tokens = [&encoded.prompt[..], &completion.tokens].concat();
                while tokens
                    .last()
                    .is_some_and(|last| Some(*last) == config.padding())
                {
                    tokens.pop();
                }
                ensure!(
                    !tokens.is_empty(),
                    "example {}: nothing but padding to score",
                    example.id
                );
                tokens.push(tokenizer.eos());
                sequences.push(tokens);
            }
            let branches = sequences
                .iter()
                .map(|tokens| Branch::new(tokens, tokens.len() - 1));
            writer.push(branches)?;
        }
    }
    cut.settle((what, reading.limit), reading.remedy, measures)?;
    Ok(Dataset {
        examples: writer.finish()?,
        units: Units::Single(examples.len()),
        shuffle: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Speaker;
    use crate::model::config::Family;

    #[test]
    fn a_dialogue_ends_where_a_reply_to_it_does_and_padding_is_not_read() {
        let turn = |speaker, text: &str| Turn {
            speaker,
            text: text.to_owned(),
        };
        let mut row = Rated {
            id: "d".into(),
            dialogue: "d".into(),
            system: String::new(),
            speaker: String::new(),
            turns: vec![
                turn(Speaker::User, "hello."),
                turn(Speaker::Bot, "hi."),
                turn(Speaker::User, "pets?"),
                turn(Speaker::Bot, "a cat."),
            ],
            ratings: Vec::new(),
            truth: None,
        };
        let whole = of_dialogue(&row, None).unwrap();
        let prompt = template::prompt(String::new(), &row.turns[..3]);
        let reply = of_replies(&prompt, &[" a cat.".into()]);
        assert_eq!(whole.prompt, reply.prompt);
        assert_eq!(whole.completions, reply.completions);
        row.turns.truncate(3);
        let asked = of_dialogue(&row, None).unwrap();
        let text = asked.prompt.text() + &asked.completions[0].text;
        assert_eq!(text, "User: hello.\nBot: hi.\nUser: pets?");

        let tokenizer = Tokenizer::train_bpe(vec![prompt.text()], 280).unwrap();
        let eos = tokenizer.eos();
        let config = DecoderConfig {
            eos: Some(eos),
            ..DecoderConfig::new(Family::Llama, 280, 8, 1, 1)
        };
        let plain = tokenizer.encode(&(prompt.text() + " a cat.")).unwrap().ids;
        let padded = format!(" a cat.{}", tokenizer.eos_text());
        let both = of_replies(&prompt, &[" a cat.".into(), padded]);
        let mut measures = Measures::default();
        let reading = Reading {
            limits: Limits {
                max_length: 64,
                append_eos: false,
            },
            limit: "",
            remedy: "",
            min_prompt_kept: 0.5,
        };
        let set = dataset(
            &[both],
            &tokenizer,
            &config,
            (reading, "test"),
            None,
            &mut measures,
        )
        .unwrap();
        for branch in set.examples.branches(0) {
            assert_eq!(branch.tokens[..plain.len()], plain);
            assert_eq!(branch.tokens.len(), plain.len() + 1);
            assert_eq!(branch.scored_from, plain.len());
        }
    }
}
