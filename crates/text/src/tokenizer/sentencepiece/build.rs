//! The parts of a tokenizer that follow a SentencePiece model as transformers' classes do.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Sequence};
use tokenizers::{ModelWrapper, Tokenizer};

use super::proto::{Algorithm, Kind, Model};

/// Bytes of all user-defined symbols, which one regular expression finds.
const MOST: usize = 1 << 20;

/// A space within a piece.
const SPACE: &str = "▁";

/// What Python takes for true.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(it) => it.as_f64() != Some(0.0),
        Value::String(it) => !it.is_empty(),
        Value::Array(it) => !it.is_empty(),
        Value::Object(it) => !it.is_empty(),
    }
}

/// As `TokenizersBackend`: by `build_tokenizer_from_spm_proto`, which follows the model's own settings. `names` are
/// other names of its ids, which a BPE gets.
pub(super) fn backend(
    model: &Model,
    config: &Map<String, Value>,
    names: &BTreeMap<u32, String>,
) -> Result<Tokenizer> {
    let texts = texts(model, names);
    let user_defined: Vec<&str> = (model.pieces.iter().zip(&texts))
        .filter(|(piece, _)| piece.kind == Kind::UserDefined)
        .filter_map(|(_, text)| text.as_deref())
        .collect();
    let inner = match model.algorithm {
        Algorithm::Bpe => {
            let vocab = vocab(&texts);
            // Only normal pieces are put together, those of high score first.
            let normal: Vec<usize> = (0..texts.len())
                .filter(|id| model.pieces[*id].kind == Kind::Normal && texts[*id].is_some())
                .collect();
            let known = |text: &str| {
                let id = *vocab.get(text)?;
                (model.pieces[id as usize].kind == Kind::Normal).then_some(id)
            };
            let mut ranked = normal.clone();
            ranked.sort_by(|a, b| {
                let score = |id: usize| model.pieces[id].score;
                score(*b)
                    .partial_cmp(&score(*a))
                    .unwrap_or(Ordering::Equal)
                    .then(a.cmp(b))
            });
            let merges = merges(&texts, ranked, known);
            let bpe = BPE::builder()
                .vocab_and_merges(vocab, merges)
                .unk_token(model.unk.1.clone())
                .fuse_unk(true)
                .byte_fallback(model.byte_fallback)
                .ignore_merges(!user_defined.is_empty());
            ModelWrapper::BPE(bpe.build().map_err(|error| anyhow!("{error}"))?)
        }
        Algorithm::Unigram => {
            let unk = usize::try_from(model.unk.0)
                .context("trainer_spec: unk_id is negative: a Unigram model needs one")?;
            unigram(model, unk, model.byte_fallback, 0)?
        }
    };
    let mut tokenizer = Tokenizer::new(inner);
    let mut normalizers: Vec<NormalizerWrapper> = charsmap(model)?.into_iter().collect();
    let mut replace = |pattern: Value, content: &str| -> Result<()> {
        let part = json!({"type": "Replace", "pattern": pattern, "content": content});
        normalizers.push(self::part(part)?);
        Ok(())
    };
    if model.remove_extra_whitespaces {
        replace(json!({"Regex": r"\A +| +\z"}), "")?;
        replace(json!({"Regex": " {2,}"}), " ")?;
    }
    if model.escape_whitespaces {
        replace(json!({"String": " "}), SPACE)?;
    }
    let legacy = config.get("legacy").is_none_or(truthy);
    if model.add_dummy_prefix && legacy {
        replace(json!({"Regex": r"\A▁"}), "▁▁")?;
    }
    tokenizer
        .with_normalizer(Some(Sequence::new(normalizers)))
        .map_err(|error| anyhow!("{error}"))?;
    let mut splits = Vec::new();
    if model.add_dummy_prefix {
        splits.push(metaspace(if legacy { "always" } else { "first" }, false));
    }
    if !user_defined.is_empty() {
        let letters: usize = user_defined.iter().map(|text| text.len()).sum();
        ensure!(
            letters <= MOST,
            "its user-defined symbols have {letters} bytes; {MOST} are the most that are looked for"
        );
        let mut longest_first = user_defined.clone();
        longest_first.sort_by_key(|text| Reverse(text.chars().count()));
        let pattern: Vec<String> = longest_first.into_iter().map(escape).collect();
        splits.push(
            json!({"type": "Split", "pattern": {"Regex": pattern.join("|")}, "behavior": "Isolated",
            "invert": false}),
        );
    }
    if !splits.is_empty() {
        let splits = json!({"type": "Sequence", "pretokenizers": splits});
        tokenizer.with_pre_tokenizer(Some(part::<tokenizers::PreTokenizerWrapper>(splits)?));
    }
    let decoder = decoder(model.byte_fallback, model.add_dummy_prefix);
    tokenizer.with_decoder(Some(decoder?));
    Ok(tokenizer)
}

/// As `LlamaTokenizer`: a BPE that puts pieces together in the order of their ids, whatever the model is.
pub(super) fn llama(model: &Model, config: &Map<String, Value>) -> Result<Tokenizer> {
    let texts = texts(model, &BTreeMap::new());
    let vocab = vocab(&texts);
    let merges = merges(&texts, (0..texts.len()).collect(), |text| {
        vocab.get(text).copied()
    });
    let bpe = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .fuse_unk(true)
        .byte_fallback(true)
        .build()
        .map_err(|error| anyhow!("{error}"))?;
    let mut tokenizer = Tokenizer::new(bpe);
    let prefix = config.get("add_prefix_space").filter(|it| !it.is_null());
    let prefix = prefix.is_none_or(truthy);
    let scheme = match (prefix, config.get("legacy").is_some_and(truthy)) {
        (false, _) => "never",
        (true, true) => "always",
        (true, false) => "first",
    };
    let split = part::<tokenizers::PreTokenizerWrapper>(metaspace(scheme, false))?;
    tokenizer.with_pre_tokenizer(Some(split));
    tokenizer.with_decoder(Some(decoder(true, prefix)?));
    Ok(tokenizer)
}

/// As `T5Tokenizer`: a Unigram whose token 2 is the unknown one, whatever the model says, with `extra` tokens
/// `<extra_id_N>` after its pieces.
pub(super) fn t5(model: &Model, extra: usize) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(unigram(model, 2, false, extra)?);
    tokenizer
        .with_normalizer(charsmap(model)?)
        .map_err(|error| anyhow!("{error}"))?;
    let splits = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace("always", true)]});
    tokenizer.with_pre_tokenizer(Some(part::<tokenizers::PreTokenizerWrapper>(splits)?));
    let decoder = part::<tokenizers::DecoderWrapper>(metaspace("always", true))?;
    tokenizer.with_decoder(Some(decoder));
    Ok(tokenizer)
}

/// `<extra_id_N>`, in the order in which T5's vocabulary has them.
pub(super) fn extra_id(n: usize) -> String {
    format!("<extra_id_{n}>")
}

fn unigram(model: &Model, unk: usize, byte_fallback: bool, extra: usize) -> Result<ModelWrapper> {
    let pieces = model.pieces.iter();
    let mut vocab: Vec<(String, f64)> = pieces
        .map(|piece| (piece.text.clone(), f64::from(piece.score)))
        .collect();
    vocab.extend((0..extra).rev().map(|n| (extra_id(n), 0.0)));
    ensure!(
        unk < vocab.len(),
        "its unknown token would be {unk}, and it has {} pieces",
        vocab.len()
    );
    let model = Unigram::from(vocab, Some(unk), byte_fallback);
    Ok(ModelWrapper::Unigram(
        model.map_err(|error| anyhow!("{error}"))?,
    ))
}

/// Each id's text, by its other name where that is no other id's own; nothing where a later id has taken it.
fn texts(model: &Model, names: &BTreeMap<u32, String>) -> Vec<Option<String>> {
    let other = |id: usize| names.get(&(id as u32));
    let kept: HashSet<&str> = (model.pieces.iter().enumerate())
        .filter(|(id, _)| other(*id).is_none())
        .map(|(_, piece)| piece.text.as_str())
        .collect();
    let mut texts: Vec<Option<String>> = Vec::new();
    let mut places = HashMap::new();
    for (id, piece) in model.pieces.iter().enumerate() {
        let text = match other(id) {
            Some(name) if !kept.contains(name.as_str()) => name,
            _ => &piece.text,
        };
        if let Some(before) = places.insert(text.clone(), id) {
            let taken: &mut Option<String> = &mut texts[before];
            *taken = None;
        }
        texts.push(Some(text.clone()));
    }
    texts
}

fn vocab(texts: &[Option<String>]) -> Vocab {
    let ids = texts.iter().zip(0..);
    ids.filter_map(|(text, id)| Some((text.clone()?, id)))
        .collect()
}

/// Every way to put a piece together out of two that are `known`, of each piece in the order `ranked`, the shortest
/// beginning first.
fn merges(
    texts: &[Option<String>],
    ranked: Vec<usize>,
    known: impl Fn(&str) -> Option<u32>,
) -> Vec<(String, String)> {
    let mut merges = Vec::new();
    for id in ranked {
        let Some(text) = &texts[id] else { continue };
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if known(left).is_some() && known(right).is_some() {
                merges.push((left.to_owned(), right.to_owned()));
            }
        }
    }
    merges
}

fn charsmap(model: &Model) -> Result<Option<NormalizerWrapper>> {
    if model.charsmap.is_empty() {
        return Ok(None);
    }
    let rules = Precompiled::from(&model.charsmap);
    let rules = rules.map_err(|error| anyhow!("normalizer_spec: precompiled_charsmap: {error}"))?;
    Ok(Some(NormalizerWrapper::Precompiled(rules)))
}

fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split})
}

/// Pieces to text, bytes put together; where a space was put in front, it is taken off again.
fn decoder(bytes: bool, prefix: bool) -> Result<tokenizers::DecoderWrapper> {
    let mut parts = vec![json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "})];
    if bytes {
        parts.push(json!({"type": "ByteFallback"}));
    }
    if bytes || prefix {
        parts.push(json!({"type": "Fuse"}));
    }
    if prefix {
        parts.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    part(json!({"type": "Sequence", "decoders": parts}))
}

/// A part of a tokenizer from how `tokenizer.json` writes it.
fn part<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).context("a part of the tokenizer")
}

/// A text as a regular expression that matches it, as Python's `re.escape` writes it.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
