//! Against transformers (`scripts/make_sentencepiece_references.py`), and damaged files.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use proptest::prelude::*;
use rapport_store::{BadInput, write_json};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::Tokenizer;

#[derive(Deserialize)]
struct Fixture {
    texts: Vec<String>,
    cases: Vec<Case>,
}

/// A folder, and what AutoTokenizer makes of it.
#[derive(Deserialize)]
struct Case {
    model: String,
    folder: String,
    file: String,
    config: Value,
    model_config: Value,
    others: Map<String, Value>,
    /// Why transformers does not read it.
    refused: Option<String>,
    /// Ids of each text, and what they decode to without and with special tokens.
    #[serde(default)]
    texts: Vec<(Vec<u32>, String, String)>,
    #[serde(default)]
    size: usize,
    eos: Option<u32>,
    bos: Option<u32>,
    pad: Option<u32>,
    #[serde(default)]
    added: Vec<(u32, String, bool, bool, bool, bool)>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/sentencepiece")
}

impl Case {
    fn fill(&self, models: &Path, dir: &Path) {
        let model = models.join(format!("{}.model", self.model));
        fs::copy(model, dir.join(&self.file)).unwrap();
        for (name, value) in [
            ("tokenizer_config.json", &self.config),
            ("config.json", &self.model_config),
        ] {
            if !value.is_null() {
                write_json(&dir.join(name), value).unwrap();
            }
        }
        for (name, value) in &self.others {
            write_json(&dir.join(name), value).unwrap();
        }
    }

    /// Whether transformers puts an EOS after each text, which `encode` leaves out.
    fn ends(&self) -> bool {
        self.added_eos() || self.file == "spiece.model" || self.folder == "t5_bos"
    }

    fn added_eos(&self) -> bool {
        self.config["add_eos_token"] == json!(true)
    }

    fn check(&self, texts: &[String], tokenizer: &Tokenizer, about: &str) {
        let added: Vec<_> = {
            let decoder = tokenizer.inner.get_added_tokens_decoder();
            let mut added: Vec<_> = decoder
                .into_iter()
                .map(|(id, it)| {
                    (
                        id,
                        it.content,
                        it.special,
                        it.normalized,
                        it.lstrip,
                        it.rstrip,
                    )
                })
                .collect();
            added.sort();
            added
        };
        assert_eq!(added, self.added, "{about}: added tokens");
        assert_eq!(Some(tokenizer.eos()), self.eos, "{about}: eos");
        assert_eq!(tokenizer.bos(), self.bos, "{about}: bos");
        assert_eq!(tokenizer.pad(), self.pad, "{about}: pad");
        assert_eq!(tokenizer.vocab_size(), self.size, "{about}: size");
        for (text, (ids, short, long)) in texts.iter().zip(&self.texts) {
            let encoded = |special| tokenizer.inner.encode(text.as_str(), special).unwrap();
            assert_eq!(encoded(true).get_ids(), ids, "{about}: {text:?}");
            let decoded = |skip| tokenizer.inner.decode(ids, skip).unwrap();
            assert_eq!(
                (&decoded(true), &decoded(false)),
                (short, long),
                "{about}: {text:?}"
            );
            let mut own = ids.clone();
            if self.ends() {
                assert_eq!(own.pop(), self.eos);
            }
            if !tokenizer.adds_special(text, false) {
                own = encoded(false).get_ids().to_vec();
            }
            let found = tokenizer.encode(text).unwrap().ids;
            assert_eq!(found, own, "{about}: {text:?} as it is trained on");
        }
    }
}

/// Each folder of `cases.json.gz` in `models`, opened, saved and opened again.
fn compare(models: &Path) {
    let file = fs::File::open(models.join("cases.json.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    let fixture: Fixture = serde_json::from_str(&text).unwrap();
    assert!(fixture.cases.len() > 80);
    for case in &fixture.cases {
        let about = format!("{} in {}", case.model, case.folder);
        let dir = tempfile::tempdir().unwrap();
        case.fill(models, dir.path());
        let tokenizer = Tokenizer::open(dir.path());
        if case.refused.is_some() {
            let works = tokenizer.and_then(|it| {
                let mut texts = fixture.texts.iter();
                texts.try_for_each(|text| it.encode(text).map(drop))
            });
            assert!(works.unwrap_err().is::<BadInput>(), "{about}");
            continue;
        }
        let tokenizer = tokenizer.unwrap_or_else(|error| panic!("{about}: {error:#}"));
        case.check(&fixture.texts, &tokenizer, &about);
        // A saved folder has the same files, and a class where none was named.
        let copy = tempfile::tempdir().unwrap();
        tokenizer.save(copy.path()).unwrap();
        let read = |dir: &Path, name: &str| fs::read(dir.join(name)).ok();
        assert_eq!(read(copy.path(), &case.file), read(dir.path(), &case.file));
        assert!(!copy.path().join("tokenizer.json").exists());
        let config: Value =
            serde_json::from_slice(&read(copy.path(), "tokenizer_config.json").unwrap()).unwrap();
        if case.model_config.is_null() {
            assert!(config["tokenizer_class"].is_string(), "{about}");
        } else {
            write_json(&copy.path().join("config.json"), &case.model_config).unwrap();
        }
        let again = Tokenizer::open(copy.path()).unwrap();
        case.check(&fixture.texts, &again, &format!("{about}, saved"));
    }
}

#[test]
fn a_sentencepiece_model_is_read_as_transformers_reads_it() {
    compare(&fixtures());
}

#[test]
#[ignore = "needs a folder that scripts/make_sentencepiece_references.py has written, in RAPPORT_SENTENCEPIECE"]
fn larger_models_are_read_as_transformers_reads_them() {
    compare(Path::new(
        &env::var("RAPPORT_SENTENCEPIECE").expect("RAPPORT_SENTENCEPIECE"),
    ));
}

/// A folder with a model of the fixtures under a name, and its configuration.
fn folder(model: &[u8], name: &str, config: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), model).unwrap();
    write_json(&dir.path().join("tokenizer_config.json"), config).unwrap();
    dir
}

fn model(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(name)).unwrap()
}

fn refusal(model: &[u8], name: &str, config: &Value) -> String {
    let error = Tokenizer::open(folder(model, name, config).path()).unwrap_err();
    assert!(error.is::<BadInput>(), "{error:#}");
    let text = error.to_string();
    assert!(text.contains(name), "{text}");
    text
}

#[test]
fn a_class_that_is_not_followed_is_refused_by_name() {
    let bytes = model("unigram.model");
    for class in [
        "GemmaTokenizer",
        "AlbertTokenizer",
        "CodeLlamaTokenizerFast",
        "XLMRobertaTokenizer",
    ] {
        let dir = folder(
            &bytes,
            "tokenizer.model",
            &json!({"tokenizer_class": class}),
        );
        let text = Tokenizer::open(dir.path()).unwrap_err().to_string();
        assert!(
            text.contains(class) && text.contains("tokenizer_config.json"),
            "{text}"
        );
    }
    let dir = folder(&bytes, "tokenizer.model", &json!({}));
    write_json(
        &dir.path().join("config.json"),
        &json!({"model_type": "gpt2"}),
    )
    .unwrap();
    let text = Tokenizer::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("GPT2Tokenizer"), "{text}");
    let text = refusal(
        &bytes,
        "spiece.model",
        &json!({"tokenizer_class": "LlamaTokenizer"}),
    );
    assert!(text.contains("T5Tokenizer"), "{text}");
}

#[test]
fn a_model_by_its_own_path_is_saved_under_the_name_that_transformers_knows() {
    let path = fixtures().join("bpe_bytes.model");
    let tokenizer = Tokenizer::open(&path).unwrap();
    let copy = tempfile::tempdir().unwrap();
    tokenizer.save(copy.path()).unwrap();
    assert_eq!(
        fs::read(copy.path().join("tokenizer.model")).unwrap(),
        fs::read(path).unwrap()
    );
    let again = Tokenizer::open(copy.path()).unwrap();
    let text = "Die train 電車 🙂";
    assert_eq!(again.encode(text).unwrap(), tokenizer.encode(text).unwrap());
    assert_eq!(again.identity().unwrap(), tokenizer.identity().unwrap());
}

#[test]
fn what_transformers_reads_otherwise_than_sentencepiece_is_said() {
    let notes = |name: &str, file: &str, config: Value| {
        let dir = folder(&model(name), file, &config);
        Tokenizer::open(dir.path()).unwrap().notes().join("\n")
    };
    let llama = notes(
        "unigram.model",
        "tokenizer.model",
        json!({"tokenizer_class": "LlamaTokenizer"}),
    );
    assert!(llama.contains("as a BPE"), "{llama}");
    let t5 = json!({"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "pad_token": "</s>"});
    let rinna = notes("unigram.model", "spiece.model", t5.clone());
    assert!(
        rinna.contains("token 2, \"</s>\"") && rinna.contains("token 0, \"<unk>\""),
        "{rinna}"
    );
    assert!(notes("unigram_bytes.model", "spiece.model", t5.clone()).contains("bytes"));
    assert_eq!(notes("bpe_names.model", "spiece.model", t5), "");
    assert_eq!(notes("unigram.model", "tokenizer.model", json!({})), "");
}

/// A message of protocol buffers: fields with a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![
        number << 3 | 2,
        bytes.len() as u8 | 0x80,
        (bytes.len() >> 7) as u8,
    ];
    field.extend(bytes);
    field
}

#[test]
fn what_no_reader_follows_is_refused_by_its_setting() {
    let config = json!({"tokenizer_class": "LlamaTokenizer"});
    let with = |more: Vec<u8>| {
        refusal(
            &[model("unigram.model"), more].concat(),
            "tokenizer.model",
            &config,
        )
    };
    for (more, part) in [
        (
            field(2, &[24 << 3 & 0x7f | 0x80, 1, 1]),
            "treat_whitespace_as_suffix",
        ),
        (field(2, &[3 << 3, 3]), "WORD"),
        (field(2, &[3 << 3, 4]), "CHAR"),
        (field(2, &[3 << 3, 9]), "model_type is 9"),
        (field(1, &field(1, b"")), "is empty"),
        (field(1, &field(1, b"<s>")), "twice"),
        (field(1, &field(1, b"\xff")), "UTF-8"),
        (
            field(1, &field(1, "x".repeat(513).as_bytes())),
            "longer than 512",
        ),
        (
            field(
                1,
                &[field(1, b"new"), vec![2 << 3 | 5, 0, 0, 0xc0, 0x7f]].concat(),
            ),
            "NaN",
        ),
        (
            field(1, &[field(1, b"new"), vec![3 << 3, 9]].concat()),
            "type is 9",
        ),
        (field(3, &field(2, &[255, 255, 255, 255, 1])), "cut off"),
        (vec![1 << 3 | 2, 200], "within a number"),
        (vec![1 << 3 | 2, 100, 1], "within a field"),
        (vec![4 << 3 | 3], "wire type 3"),
        (vec![0x80; 11], "ten bytes"),
        (vec![2 << 3, 1], "has none"),
    ] {
        let text = with(more);
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = refusal(b"", "tokenizer.model", &config);
    assert!(text.contains("no pieces"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_model_is_read_or_refused(
        name in prop::sample::select(vec!["unigram.model", "unigram_bytes.model", "bpe_symbols.model"]),
        class in prop::sample::select(vec!["TokenizersBackend", "LlamaTokenizer", "T5Tokenizer"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = model(name);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = folder(&bytes, "tokenizer.model", &json!({"tokenizer_class": class}));
        match Tokenizer::open(dir.path()) {
            Err(error) => prop_assert!(error.is::<BadInput>(), "{error:#}"),
            Ok(tokenizer) => {
                for text in ["", " The train, 電車 🙂<s>\n", "ﾊﾝｶｸ\u{3000}ＦＵＬＬ"] {
                    if let Err(error) = tokenizer.encode(text) {
                        prop_assert!(error.is::<BadInput>(), "{error:#}");
                    }
                }
            }
        }
    }
}
