use super::*;
use crate::model::config::Family;
use crate::store::write_json;

/// A folder with a tokenizer whose EOS is 0 and pad 1, and the given `generation_config.json`.
fn folder(generation: Option<Value>, config: Value) -> (tempfile::TempDir, Tokenizer) {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = Tokenizer::train_bpe(vec!["some text".into()], 300).unwrap();
    tokenizer.save(dir.path()).unwrap();
    if let Some(generation) = generation {
        write_json(&dir.path().join(FILE), &generation).unwrap();
    }
    write_json(&dir.path().join("config.json"), &config).unwrap();
    (dir, tokenizer)
}

fn decoder(eos: &[u32]) -> DecoderConfig {
    DecoderConfig {
        eos: eos.first().copied(),
        other_eos: eos.iter().skip(1).copied().collect(),
        ..DecoderConfig::new(Family::Llama, 300, 8, 1, 2)
    }
}

#[test]
fn a_reply_ends_at_every_eos_that_the_folder_names() {
    let stops = |generation, eos: &[u32]| {
        let (dir, tokenizer) = folder(generation, json!({}));
        super::stops(dir.path(), (&tokenizer, &decoder(eos))).unwrap()
    };
    assert_eq!(stops(None, &[0]), [0]);
    assert_eq!(stops(None, &[7, 0, 5]), [0, 7, 5]);
    let list = Some(json!({"eos_token_id": [9, 0, 8]}));
    assert_eq!(stops(list, &[7]), [0, 9, 8], "its own file goes first");
    assert_eq!(stops(Some(json!({"eos_token_id": 4})), &[7]), [0, 4]);
    assert_eq!(stops(Some(json!({"eos_token_id": null})), &[7]), [0, 7]);
    assert_eq!(stops(Some(json!({"eos_token_id": [900]})), &[7]), [0]);
}

/// The rule of transformers 5.24's `align_special_tokens`, and what TRL 1.16 therefore saves.
#[test]
fn the_eos_that_was_trained_is_saved_first_and_no_other_is_lost() {
    let aligned = |generation: Option<Value>, eos: Value| {
        let (dir, tokenizer) = folder(generation, json!({"eos_token_id": eos}));
        let all: Vec<u32> = match &eos {
            Value::Array(all) => all.iter().map(|id| id.as_u64().unwrap() as u32).collect(),
            one => one.as_u64().map(|id| id as u32).into_iter().collect(),
        };
        let mut config = decoder(&all);
        let generation = align(&mut config, dir.path(), &tokenizer).unwrap();
        (config.ends(), generation)
    };
    let (config, generation) = aligned(Some(json!({"eos_token_id": 5})), json!(5));
    assert_eq!(
        (config, &generation["eos_token_id"]),
        (vec![0], &json!([0, 5]))
    );
    let (config, generation) = aligned(Some(json!({"eos_token_id": [5, 6]})), json!([5, 6]));
    assert_eq!(config, [0, 5, 6]);
    assert_eq!(generation["eos_token_id"], json!([0, 5, 6]));
    let (config, generation) = aligned(Some(json!({"eos_token_id": [6, 0]})), json!([5]));
    assert_eq!(
        (config, &generation["eos_token_id"]),
        (vec![0, 5], &json!([0, 6]))
    );
    // Where both name it already, both stay as they are.
    let (config, generation) = aligned(Some(json!({"eos_token_id": [6, 0]})), json!([7, 0]));
    assert_eq!(
        (config, &generation["eos_token_id"]),
        (vec![7, 0], &json!([6, 0]))
    );
    let (config, generation) = aligned(None, json!(0));
    assert_eq!((config, &generation["eos_token_id"]), (vec![0], &json!(0)));
    let (config, generation) = aligned(None, json!(3));
    assert_eq!(
        (config, &generation["eos_token_id"]),
        (vec![0], &json!([0, 3]))
    );
}

#[test]
fn every_field_of_the_source_is_saved_again() {
    let source = json!({"_from_model_config": false, "do_sample": true, "temperature": 0.6, "top_k": 20,
        "eos_token_id": 0, "pad_token_id": 9, "suppress_tokens": [3], "transformers_version": "4.40.0"});
    let (dir, tokenizer) = folder(Some(source.clone()), json!({"eos_token_id": 0}));
    let mut config = decoder(&[0]);
    let saved = align(&mut config, dir.path(), &tokenizer).unwrap();
    let mut expected = source;
    expected["pad_token_id"] = json!(1);
    assert_eq!(saved, expected);
    assert_eq!(config.pad, Some(1));
}

#[test]
fn sampling_takes_from_the_folder_what_the_recipe_leaves_out() {
    let of = |asked: &Asked, generation: Option<Value>| {
        let (dir, tokenizer) = folder(generation, json!({}));
        asked
            .of(dir.path(), (&tokenizer, &decoder(&[0])))
            .map_err(|error| error.to_string())
    };
    let nothing = Asked::default();
    let plain = Sampling {
        stop: vec![0],
        ..Sampling::default()
    };
    assert_eq!(of(&nothing, None), Ok((plain.clone(), None)));
    let own = json!({"_from_model_config": true, "eos_token_id": 0});
    assert_eq!(of(&nothing, Some(own)), Ok((plain.clone(), None)));

    let all = json!({"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8,
        "repetition_penalty": 1.05, "min_new_tokens": 2, "max_new_tokens": 30});
    let (sampling, note) = of(&nothing, Some(all.clone())).unwrap();
    let expected = Sampling {
        temperature: 0.7,
        top_k: 20,
        top_p: 0.8,
        repetition_penalty: 1.05,
        min_new_tokens: 2,
        max_new_tokens: 30,
        stop: vec![0],
    };
    assert_eq!(sampling, expected);
    let note = note.unwrap();
    assert!(
        note.contains("temperature = 0.7, top_k = 20, top_p = 0.8"),
        "{note}"
    );

    let asked = Asked {
        temperature: Some(1.0),
        top_k: Some(0),
        max_new_tokens: Some(64),
        ..Asked::default()
    };
    let (sampling, note) = of(&asked, Some(all)).unwrap();
    let expected = Sampling {
        temperature: 1.0,
        top_k: 0,
        max_new_tokens: 64,
        ..expected
    };
    assert_eq!(sampling, expected, "the recipe goes first");
    assert!(!note.unwrap().contains("temperature"));

    let greedy = json!({"do_sample": false, "temperature": 0.7});
    assert_eq!(of(&nothing, Some(greedy)).unwrap().0.temperature, 0.0);
    for (wrong, part) in [
        (
            json!({"temperature": "hot"}),
            "temperature: expected a number",
        ),
        (json!({"top_p": 2.0}), "top_p: expected a number"),
        (json!({"top_k": -1}), "top_k: expected a whole number"),
        (json!({"max_new_tokens": 0}), "max_new_tokens (0)"),
        (json!([1]), "expected a JSON object"),
    ] {
        let error = of(&nothing, Some(wrong)).unwrap_err();
        assert!(error.contains(part) && error.contains(FILE), "{error}");
    }
}
