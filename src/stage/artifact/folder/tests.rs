use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::model::config::Family;
use crate::model::weights;
use crate::store::{read_json, write_json};

/// An artifact of random weights in bf16 with a tokenizer of 258 tokens whose EOS is 0, and `rows` rows.
fn artifact(rows: usize) -> (tempfile::TempDir, DecoderConfig, Tokenizer) {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = Tokenizer::train_bpe(vec!["some text".into()], 258).unwrap();
    let config = DecoderConfig {
        eos: Some(5),
        ..DecoderConfig::new(Family::Llama, rows, 8, 1, 2)
    };
    let model = model_dir(dir.path());
    let mut arrays = weights::random(&config, 0.5, 1);
    hf::save(&model, &config, Precision::Bf16, usize::MAX, |slot| {
        Ok(arrays.remove(&slot.name).unwrap().1)
    })
    .unwrap();
    tokenizer.save(&model).unwrap();
    (dir, config, tokenizer)
}

fn saved(
    like: &Path,
    told: SavedAs,
    config: &DecoderConfig,
    tokenizer: &Tokenizer,
) -> (tempfile::TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let mut arrays = weights::random(config, 0.5, 2);
    write(
        out.path(),
        config,
        |name| arrays.remove(name).map(|it| it.1),
        tokenizer,
        Some((like, told)),
        "",
    )
    .unwrap();
    let model = model_dir(out.path());
    (out, model)
}

#[test]
fn what_is_saved_is_of_the_sources_type_and_ends_in_what_was_trained() {
    let (dir, config, tokenizer) = artifact(300);
    let like = model_dir(dir.path());
    let generation = json!({"temperature": 0.6, "suppress_tokens": [3], "eos_token_id": 5});
    write_json(&like.join("generation_config.json"), &generation).unwrap();
    for (told, precision) in [
        (None, Precision::Bf16),
        (Some(Precision::F32), Precision::F32),
        (Some(Precision::F16), Precision::F16),
    ] {
        let (_out, model) = saved(&like, SavedAs(told), &config, &tokenizer);
        let (read, checkpoint) = hf::open(&model).unwrap();
        assert_eq!(checkpoint.precision(), precision);
        assert_eq!((read.eos, read.pad), (Some(0), tokenizer.pad()));
        let value = |name: &str| -> Value { read_json(&model.join(name)).unwrap() };
        assert_eq!(value("config.json")["dtype"], precision.name());
        let expected = json!({"temperature": 0.6, "suppress_tokens": [3], "eos_token_id": [0, 5],
            "pad_token_id": tokenizer.pad()});
        assert_eq!(value("generation_config.json"), expected);
    }
}

#[test]
fn a_token_too_many_is_named_with_both_numbers_and_the_remedy() {
    let (dir, config, tokenizer) = artifact(257);
    let error = fits(dir.path(), &config, &tokenizer).unwrap_err();
    assert!(error.is::<BadInput>());
    let text = error.to_string();
    for part in [
        "ids up to 257",
        "is 257",
        "rows for 257",
        "ids 0 to 256",
        "resize_token_embeddings(258)",
    ] {
        assert!(text.contains(part), "{part:?} not in: {text}");
    }
    let roomy = DecoderConfig {
        vocab_size: 258,
        ..config
    };
    assert!(fits(dir.path(), &roomy, &tokenizer).is_ok());
}
