//! Conversational rows against TRL and transformers (`scripts/make_template_references.py`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::chat::ChatTemplate;
use crate::encode::{EncodedExample, Limits, encode_example};
use crate::rows::{labelled_rows, preference_rows, sft_rows};
use crate::{Example, Reading, Tokenizer};

#[derive(Deserialize)]
struct Fixture {
    tokens: Map<String, Value>,
    continued: Vec<Continued>,
    masks: Vec<Masked>,
}

/// A row whose prompt ends with the assistant's words.
#[derive(Deserialize)]
struct Continued {
    template: String,
    row: Value,
    /// Of the prompt and its completions; nothing where TRL refuses the row.
    texts: Option<Vec<String>>,
}

/// A row whose template marks what is scored.
#[derive(Deserialize)]
struct Masked {
    template: String,
    row: Value,
    ids: Vec<u32>,
    /// 1 where a token of `ids` is scored.
    mask: Vec<u8>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../../tests/fixtures/chat.json")).unwrap()
}

/// The examples of one row, by the reader of its columns.
fn read(row: &Value, template: &str, tokens: &Map<String, Value>) -> Result<Vec<Example>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("rows.jsonl");
    fs::write(&path, row.to_string())?;
    let template = ChatTemplate::new(template.into(), tokens.clone())?;
    let reading = Reading::by(Some(&template), true);
    let examples = if row.get("label").is_some() {
        labelled_rows(&path, &reading)?
    } else if row.get("chosen").is_some() {
        preference_rows(&path, &reading)?
    } else {
        sft_rows(&path, &reading)?
    };
    examples.collect()
}

#[test]
fn a_reply_after_the_assistants_words_is_rendered_as_by_trls_trainers() {
    let Fixture {
        tokens, continued, ..
    } = fixture();
    let refused = continued.iter().filter(|case| case.texts.is_none()).count();
    assert!(refused > 5 && continued.len() - refused > 80);
    for case in continued {
        let found = read(&case.row, &case.template, &tokens);
        let texts = found.as_ref().ok().map(|examples| {
            let example = &examples[0];
            let completions = example.completions.iter().map(|it| it.text.clone());
            std::iter::once(example.prompt.text())
                .chain(completions)
                .collect::<Vec<_>>()
        });
        assert_eq!(
            texts, case.texts,
            "{}\n{}\n{:?}",
            case.template, case.row, found
        );
    }
}

#[test]
fn tokens_are_scored_where_transformers_masks_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/trl_chat/model");
    let tokenizer = Tokenizer::open(&dir).unwrap();
    let limits = Limits {
        max_length: 1000,
        append_eos: true,
    };
    let Fixture { tokens, masks, .. } = fixture();
    for case in masks {
        let mut scored = BTreeSet::new();
        for example in read(&case.row, &case.template, &tokens).unwrap() {
            let EncodedExample {
                prompt,
                completions,
                ..
            } = encode_example(&tokenizer, &example.prompt, &example.completions, limits).unwrap();
            let [reply] = &completions[..] else {
                panic!("{example:?}")
            };
            let ids = [&prompt[..], &reply.tokens].concat();
            assert_eq!(ids, case.ids[..ids.len()], "{}", case.template);
            let gap = |at: u32| {
                reply
                    .unscored
                    .iter()
                    .any(|[from, to]| (*from..*to).contains(&at))
            };
            let places = (0..reply.tokens.len() as u32).filter(|at| !gap(*at));
            scored.extend(places.map(|at| prompt.len() + at as usize));
        }
        let masked = (0..case.ids.len()).filter(|at| case.mask[*at] == 1);
        assert_eq!(scored, masked.collect(), "{}\n{}", case.template, case.row);
    }
}
