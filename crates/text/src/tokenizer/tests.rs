use rapport_store::write_json;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::*;

fn texts() -> Vec<String> {
    (0..200)
        .map(|i| format!("User: hello number {i}\nBot: i have {} cats.", i % 7))
        .collect()
}

#[test]
fn training_is_deterministic_and_round_trips_any_text() {
    let first = Tokenizer::train_bpe(texts(), 400).unwrap();
    let second = Tokenizer::train_bpe(texts(), 400).unwrap();
    assert_eq!(first.files, second.files);
    for text in ["i have 3 cats.", "naïve – 日本語\n\t", ""] {
        let ids = first.encode(text).unwrap().ids;
        assert_eq!(first.decode(&ids).unwrap(), text);
    }
    let dir = tempfile::tempdir().unwrap();
    first.save(dir.path()).unwrap();
    let opened = Tokenizer::open(dir.path()).unwrap();
    assert_eq!(opened.files, first.files);
    assert_eq!(
        (opened.eos(), opened.vocab_size()),
        (first.eos(), first.vocab_size())
    );
}

/// GPT-2's files, but for the vocabulary: single bytes and one merge.
fn gpt2_files(dir: &Path) {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut vocab = serde_json::Map::new();
    let tokens = alphabet.iter().map(char::to_string);
    for token in tokens.chain(["ab".into(), END.into()]) {
        vocab.insert(token, json!(vocab.len()));
    }
    write_json(&dir.join("vocab.json"), &vocab).unwrap();
    write_atomic(&dir.join("merges.txt"), b"#version: 0.2\na b\n").unwrap();
}

#[test]
fn gpt2_files_open_and_are_copied_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    gpt2_files(dir.path());
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    assert_eq!((tokenizer.eos(), tokenizer.vocab_size()), (257, 258));
    assert_eq!(tokenizer.encode("ab").unwrap().ids, [256]);
    assert_eq!(tokenizer.encode("é<|endoftext|>").unwrap().ids.len(), 3);
    let copy = tempfile::tempdir().unwrap();
    tokenizer.save(copy.path()).unwrap();
    for name in ["vocab.json", "merges.txt"] {
        let read = |dir: &Path| std::fs::read(dir.join(name)).unwrap();
        assert_eq!(read(copy.path()), read(dir.path()));
    }
    let opened = Tokenizer::open(copy.path()).unwrap();
    assert_eq!(
        opened.encode("abé").unwrap(),
        tokenizer.encode("abé").unwrap()
    );
}

#[test]
fn a_bos_stands_once_and_no_file_can_cut_a_text() {
    let dir = tempfile::tempdir().unwrap();
    gpt2_files(dir.path());
    let config = json!({"bos_token": "a", "eos_token": {"content": "b"}});
    write_json(&dir.path().join("tokenizer_config.json"), &config).unwrap();
    let mut file: Value =
        serde_json::from_slice(&Tokenizer::open(dir.path()).unwrap().files["tokenizer.json"])
            .unwrap();
    let special = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let token = |id: &str, n: u32| json!({"id": id, "ids": [n], "tokens": [id]});
    let (a, b) = (
        file["model"]["vocab"]["a"].clone(),
        file["model"]["vocab"]["b"].clone(),
    );
    let (a, b) = (a.as_u64().unwrap() as u32, b.as_u64().unwrap() as u32);
    file["post_processor"] = json!({"type": "TemplateProcessing",
        "single": [special("a"), text, special("b")],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"a": token("a", a), "b": token("b", b)}});
    file["truncation"] =
        json!({"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0});
    write_json(&dir.path().join("tokenizer.json"), &file).unwrap();
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(a), b));
    let encoding = tokenizer.encode("xyzxyz").unwrap();
    assert_eq!((encoding.ids[0], encoding.ids.len()), (a, 7));
    assert_eq!(encoding.ends, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(tokenizer.encode("axyz").unwrap().ids.len(), 4);
}

#[test]
fn a_folder_without_a_tokenizer_says_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let error = Tokenizer::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    write_json(&dir.path().join("vocab.json"), &json!({"a": 0, "b": 1})).unwrap();
    write_atomic(&dir.path().join("merges.txt"), b"#version: 0.2\n").unwrap();
    let error = Tokenizer::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("eos_token"), "{error}");
}

/// A folder of bytes and one merge in `tokenizer.json`, with what it and `tokenizer_config.json` are changed by.
fn json_folder(change: impl FnOnce(&mut Value), config: Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    gpt2_files(dir.path());
    let files = Tokenizer::open(dir.path()).unwrap().files;
    let mut file: Value = serde_json::from_slice(&files["tokenizer.json"]).unwrap();
    change(&mut file);
    for name in ["vocab.json", "merges.txt"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    write_json(&dir.path().join("tokenizer.json"), &file).unwrap();
    let mut all = json!({"eos_token": END});
    all.as_object_mut()
        .unwrap()
        .extend(config.as_object().unwrap().clone());
    write_json(&dir.path().join("tokenizer_config.json"), &all).unwrap();
    dir
}

fn ids(dir: &Path, text: &str) -> Vec<u32> {
    Tokenizer::open(dir).unwrap().encode(text).unwrap().ids
}

/// Each as transformers 5.24 tokenises it: the ids of the new tokens are 258 and on, in this order.
#[test]
fn tokens_that_only_the_files_around_declare_are_tokens() {
    let token = |content: &str| json!({"content": content, "special": true, "normalized": false});
    let spaced = json!({"content": "<y>", "lstrip": true, "rstrip": true, "special": false});
    let text = "x <|x|>  <y> <z>";
    let added = |config: Value| {
        let dir = json_folder(|_| {}, config);
        let tokenizer = Tokenizer::open(dir.path()).unwrap();
        let ids = tokenizer.encode(text).unwrap().ids;
        let copy = tempfile::tempdir().unwrap();
        tokenizer.save(copy.path()).unwrap();
        assert_eq!(self::ids(copy.path(), text), ids, "saved and opened again");
        let read = |dir: &Path| std::fs::read(dir.join("tokenizer.json")).unwrap();
        assert_eq!(read(copy.path()), read(dir.path()));
        let new: Vec<u32> = ids.iter().copied().filter(|id| *id > 257).collect();
        assert_eq!(tokenizer.vocab_size(), 258 + tokenizer.notes().len());
        (new, ids.len(), tokenizer.notes().join("\n"))
    };
    let (new, length, notes) = added(json!({"added_tokens_decoder": {"258": token("<|x|>")}}));
    assert_eq!((new, length), (vec![258], 12));
    assert!(
        notes.contains("tokenizer_config.json declares \"<|x|>\""),
        "{notes}"
    );
    let far = json!({"added_tokens_decoder": {"400": token("<|x|>"), "380": spaced}});
    let (new, length, notes) = added(far);
    assert_eq!(
        (new, length),
        (vec![259, 258], 7),
        "by declared id; its spaces are its own"
    );
    assert!(notes.contains("not 400 as declared"), "{notes}");
    for config in [
        json!({"pad_token": "<z>"}),
        json!({"image_token": "<z>"}),
        json!({"extra_special_tokens": ["<z>"]}),
        json!({"extra_special_tokens": {"z_token": "<z>"}}),
        json!({"additional_special_tokens": ["<z>"]}),
    ] {
        let (new, ..) = added(config.clone());
        assert_eq!(new, [258], "{config}");
    }
    assert_eq!(added(json!({"pad_token": null})).0, [0; 0]);
}

#[test]
fn older_folders_declare_their_tokens_in_files_of_their_own() {
    let dir = json_folder(|_| {}, json!({"bos_token": "a"}));
    let path = dir.path();
    write_json(
        &path.join("added_tokens.json"),
        &json!({"<|x|>": 258, "<y>": 259}),
    )
    .unwrap();
    let map = json!({"eos_token": {"content": "<y>"}, "additional_special_tokens": ["<z>"]});
    write_json(&path.join("special_tokens_map.json"), &map).unwrap();
    let tokenizer = Tokenizer::open(path).unwrap();
    assert_eq!((tokenizer.eos(), tokenizer.vocab_size()), (259, 261));
    assert_eq!(ids(path, "<z><|x|><y>"), [260, 258, 259]);
    assert_eq!(
        tokenizer.decode(&[260, 258]).unwrap(),
        "<|x|>",
        "one is special"
    );
    // Where tokenizer_config.json lists all added tokens, transformers reads neither file.
    let dir = json_folder(|_| {}, json!({"added_tokens_decoder": {}}));
    write_json(
        &dir.path().join("added_tokens.json"),
        &json!({"<|x|>": 258}),
    )
    .unwrap();
    assert_eq!(Tokenizer::open(dir.path()).unwrap().vocab_size(), 258);
}

#[test]
fn special_tokens_are_split_where_the_files_say_so() {
    let dir = json_folder(|_| {}, json!({"split_special_tokens": true}));
    assert_eq!(ids(dir.path(), END).len(), END.len());
}

#[test]
fn a_damaged_declaration_names_its_file_and_key() {
    for (config, part) in [
        (json!({"added_tokens_decoder": 3}), "expected a table"),
        (
            json!({"added_tokens_decoder": {"x": {"content": "a"}}}),
            "added_tokens_decoder.x",
        ),
        (
            json!({"added_tokens_decoder": {"3": "a"}}),
            "added_tokens_decoder.3",
        ),
    ] {
        let dir = json_folder(|_| {}, config);
        let error = Tokenizer::open(dir.path()).unwrap_err();
        assert!(error.is::<rapport_store::BadInput>());
        let text = error.to_string();
        assert!(
            text.contains("tokenizer_config.json") && text.contains(part),
            "{text}"
        );
    }
    let dir = json_folder(|_| {}, json!({}));
    std::fs::write(dir.path().join("special_tokens_map.json"), b"[1]").unwrap();
    let text = Tokenizer::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("special_tokens_map.json"), "{text}");
}

#[test]
fn dropout_is_off_so_that_a_text_has_the_same_tokens_each_time() {
    let dir = json_folder(|file| file["model"]["dropout"] = json!(0.9), json!({}));
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    for _ in 0..20 {
        assert_eq!(tokenizer.encode("ababab").unwrap().ids, [256; 3]);
    }
    assert!(tokenizer.notes()[0].contains("dropout"));
    let copy = tempfile::tempdir().unwrap();
    tokenizer.save(copy.path()).unwrap();
    let text = std::fs::read_to_string(copy.path().join("tokenizer.json")).unwrap();
    assert!(text.contains("0.9"), "the file stays as it was");
}

/// Each makes the tokenizers library panic, on opening or on the first text.
#[test]
fn a_tokenizer_that_breaks_the_library_is_an_error_with_its_name() {
    let nowhere = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "nope", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [], "special_tokens": {}});
    let charsmap = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
    let changes: [(&str, Value); 2] = [("post_processor", nowhere), ("normalizer", charsmap)];
    for (key, value) in changes {
        let dir = json_folder(|file| file[key] = value, json!({}));
        let error = Tokenizer::open(dir.path()).unwrap_err();
        assert!(error.is::<rapport_store::BadInput>(), "{key}: {error}");
        assert!(
            error.to_string().contains("tokenizer.json"),
            "{key}: {error}"
        );
    }
    let dir = json_folder(
        |file| file["model"]["continuing_subword_prefix"] = json!("##"),
        json!({}),
    );
    let error = Tokenizer::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
}

#[test]
fn ids_that_are_put_around_a_text_count_among_the_tokenizers() {
    let around = json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 99999],
        "trim_offsets": true, "add_prefix_space": true});
    let dir = json_folder(|file| file["post_processor"] = around, json!({}));
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 100_000);
    assert_eq!(tokenizer.beyond(258), [(99999, None)]);
    assert_eq!(
        tokenizer.beyond(257),
        [(257, Some(END.into())), (99999, None)]
    );
    assert!(tokenizer.beyond(100_000).is_empty());
}

#[test]
fn damaged_gpt2_files_are_told_apart() {
    let message = |name: &str, bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        gpt2_files(dir.path());
        std::fs::write(dir.path().join(name), bytes).unwrap();
        Tokenizer::open(dir.path()).unwrap_err().to_string()
    };
    for (name, bytes) in [
        ("vocab.json", &b"{\"a\": 1"[..]),
        ("vocab.json", b"{\"a\": -1}"),
        ("vocab.json", b"\xff\xfe"),
        ("merges.txt", b"#version: 0.2\n\xff b\n"),
        ("merges.txt", b"#version: 0.2\na b c\n"),
        ("merges.txt", b"#version: 0.2\na zzz\n"),
    ] {
        let text = message(name, bytes);
        assert!(text.contains(name), "{text}");
    }
}
