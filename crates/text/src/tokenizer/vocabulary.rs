//! A tokenizer as llama.cpp has it: its tokens with their scores and types, its merges, and how a text is split.
//!
//! Reference: `convert_hf_to_gguf.py` and `llama-vocab.cpp` of ggml-org/llama.cpp.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rapport_store::OrBadInput as _;
use serde_json::{Value, json};

use super::Tokenizer;

/// What a token is, by llama.cpp's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// A token's text, the score of a SentencePiece model, and what it is.
pub type Token = (String, f32, TokenKind);

/// How llama.cpp tokenises, by the names of its files.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    /// `gpt2` for a BPE of bytes, `llama` for one of SentencePiece.
    pub model: &'static str,
    /// How a text is split before a BPE of bytes.
    pub pre: &'static str,
    /// By id.
    pub tokens: Vec<Token>,
    /// Of a BPE of bytes.
    pub merges: Vec<String>,
    pub add_space_prefix: bool,
    pub add_bos: bool,
    pub add_eos: bool,
    pub unk: Option<u32>,
}

/// Of a piece that nothing is put together to: after all others.
const LAST: f32 = -1e9;

/// Splits of known tokenizers, by the regular expressions before the bytes: as `tokenizer.json` has them, and what
/// llama.cpp calls them.
const SPLITS: [(&str, &str); 3] = [
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen2",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "llama-bpe",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        "llama-bpe",
    ),
];

impl Tokenizer {
    /// The tokenizer as llama.cpp has it, with as many tokens as the model has `rows`.
    ///
    /// # Errors
    /// One that llama.cpp has no equal of, by what it lacks; more ids than rows.
    pub fn vocabulary(&self, rows: usize) -> Result<Vocabulary> {
        let read = || -> Result<_> {
            let text = self
                .inner
                .to_string(false)
                .map_err(|error| anyhow!("{error}"))?;
            self.of_json(&serde_json::from_str(&text)?, rows)
        };
        read()
            .with_context(|| format!("{}: cannot be exported", self.file.display()))
            .or_bad_input()
    }

    fn of_json(&self, json: &Value, rows: usize) -> Result<Vocabulary> {
        let model = &json["model"];
        let kind = model["type"].as_str().unwrap_or_default();
        ensure!(
            kind == "BPE",
            "its model is {kind}, and llama.cpp has an equal of BPE models alone"
        );
        let split = match split(json)? {
            Some(pre) => Split::Bytes(pre),
            None => Split::Pieces(space_prefix(json)?),
        };
        ensure!(
            self.ids <= rows,
            "it has {} tokens, and the model {rows} rows",
            self.ids
        );
        let mut tokens: Vec<Token> = (0..rows)
            .map(|id| (format!("[PAD{id}]"), LAST, TokenKind::Unused))
            .collect();
        let merges = merges(model)?;
        let mut scores: BTreeMap<String, f32> = BTreeMap::new();
        if let Split::Pieces(_) = split {
            for (rank, (left, right)) in merges.iter().enumerate() {
                scores
                    .entry(format!("{left}{right}"))
                    .or_insert(-(rank as f32));
            }
        }
        let bytes = matches!(split, Split::Pieces(_)) && model["byte_fallback"] == json!(true);
        let unk = model["unk_token"].as_str().unwrap_or("<unk>");
        let unk = self.inner.token_to_id(unk);
        for (text, id) in self.inner.get_vocab(false) {
            let kind = match text.as_bytes() {
                _ if Some(id) == unk => TokenKind::Unknown,
                [b'<', b'0', b'x', _, _, b'>'] if bytes => TokenKind::Byte,
                _ => TokenKind::Normal,
            };
            let score = scores.get(&text).copied().unwrap_or(match split {
                Split::Pieces(_) => LAST,
                Split::Bytes(_) => 0.0,
            });
            tokens[id as usize] = (text, score, kind);
        }
        for (id, token) in self.inner.get_added_tokens_decoder() {
            let kind = match token.special {
                _ if Some(id) == unk && matches!(split, Split::Pieces(_)) => TokenKind::Unknown,
                true => TokenKind::Control,
                false => TokenKind::UserDefined,
            };
            tokens[id as usize] = (token.content, 0.0, kind);
        }
        let around = self
            .inner
            .encode("a", true)
            .map_err(|error| anyhow!("{error}"))?;
        let special = around.get_special_tokens_mask();
        let (ids, last) = (around.get_ids(), special.len().saturating_sub(1));
        let is =
            |at: usize, id: Option<u32>| special.get(at) == Some(&1) && ids.get(at).copied() == id;
        let (model, pre, add_space_prefix) = match split {
            Split::Bytes(pre) => ("gpt2", pre, false),
            Split::Pieces(prefix) => ("llama", "default", prefix),
        };
        Ok(Vocabulary {
            model,
            pre,
            tokens,
            merges: match model {
                "gpt2" => merges
                    .iter()
                    .map(|(left, right)| format!("{left} {right}"))
                    .collect(),
                _ => Vec::new(),
            },
            add_space_prefix,
            add_bos: is(0, self.bos()),
            add_eos: is(last, Some(self.eos())),
            unk,
        })
    }
}

enum Split {
    /// A BPE of bytes, after a split of this name.
    Bytes(&'static str),
    /// A BPE of pieces, with a space put in front or not.
    Pieces(bool),
}

/// What llama.cpp calls how a text is split before a BPE of bytes; nothing where the model is none.
fn split(json: &Value) -> Result<Option<&'static str>> {
    let whole = &json["pre_tokenizer"];
    let parts = match whole["pretokenizers"].as_array() {
        Some(parts) => parts.clone(),
        None => vec![whole.clone()],
    };
    let (Some(last), before) = (parts.last(), &parts[..parts.len().saturating_sub(1)]) else {
        return Ok(None);
    };
    if last["type"] != json!("ByteLevel") {
        return Ok(None);
    }
    ensure!(
        last["add_prefix_space"] == json!(false),
        "it puts a space before each text, which llama.cpp does not"
    );
    let normalizer = &json["normalizer"];
    // llama.cpp leaves out the NFC of Qwen2 as well.
    ensure!(
        normalizer.is_null() || normalizer["type"] == json!("NFC"),
        "its normalizer has no equal in llama.cpp: {normalizer}"
    );
    let words = last["use_regex"] != json!(false);
    let name = match before {
        [] if words => Some("gpt-2"),
        [digits] if words && digits["type"] == json!("Digits") => {
            (digits["individual_digits"] == json!(true)).then_some("smollm")
        }
        [split] if !words && split["type"] == json!("Split") => {
            let pattern = split["pattern"]["Regex"].as_str();
            let known = SPLITS.iter().find(|(known, _)| Some(*known) == pattern);
            known
                .filter(|_| {
                    split["behavior"] == json!("Isolated") && split["invert"] == json!(false)
                })
                .map(|(_, name)| *name)
        }
        _ => None,
    };
    let name = name.with_context(|| {
        format!("how it splits a text has no name in llama.cpp that is known here: {whole}")
    })?;
    Ok(Some(name))
}

/// Whether a BPE of pieces puts a space in front, where it changes nothing else of a text.
fn space_prefix(json: &Value) -> Result<bool> {
    let parts = |whole: &Value, key: &str| match whole[key].as_array() {
        Some(parts) => parts.clone(),
        None if whole.is_null() => Vec::new(),
        None => vec![whole.clone()],
    };
    let mut prefix = false;
    for part in parts(&json["normalizer"], "normalizers") {
        match part["type"].as_str() {
            Some("Prepend") if part["prepend"] == json!("▁") => prefix = true,
            Some("Replace")
                if part["pattern"] == json!({"String": " "}) && part["content"] == json!("▁") => {
            }
            // A space in front of one that is spelled out: llama.cpp puts it there anyway.
            Some("Replace") if part["content"] == json!("▁▁") => {}
            _ => bail!("its normalizer has no equal in llama.cpp: {part}"),
        }
    }
    for part in parts(&json["pre_tokenizer"], "pretokenizers") {
        match part["type"].as_str() {
            Some("Metaspace") if part["split"] == json!(false) => {
                prefix |= part["prepend_scheme"] != json!("never");
            }
            _ => bail!("its pre_tokenizer has no equal in llama.cpp: {part}"),
        }
    }
    Ok(prefix)
}

fn merges(model: &Value) -> Result<Vec<(String, String)>> {
    let merges = model["merges"].as_array().context("it has no merges")?;
    let pair = |merge: &Value| match merge {
        Value::String(text) => text
            .split_once(' ')
            .map(|(a, b)| (a.to_owned(), b.to_owned())),
        pair => Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned())),
    };
    let all = merges
        .iter()
        .map(|merge| pair(merge).context("a merge is no pair"));
    all.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rapport_store::{BadInput, write_json};

    use super::*;

    fn pieces(config: &Value, model: &str) -> Tokenizer {
        let fixtures =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/sentencepiece");
        let dir = tempfile::tempdir().unwrap();
        fs::copy(fixtures.join(model), dir.path().join("tokenizer.model")).unwrap();
        write_json(&dir.path().join("tokenizer_config.json"), config).unwrap();
        Tokenizer::open(dir.path()).unwrap()
    }

    fn bytes(pre_tokenizer: Value) -> Result<Vocabulary> {
        let tokenizer = Tokenizer::train_bpe(vec!["ab ab ab".to_owned()], 262).unwrap();
        let text = tokenizer.inner.to_string(false).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        if !pre_tokenizer.is_null() {
            json["pre_tokenizer"] = pre_tokenizer;
        }
        tokenizer.of_json(&json, 270)
    }

    #[test]
    fn a_bpe_of_bytes_has_its_merges_and_the_name_of_its_split() {
        let plain = bytes(Value::Null).unwrap();
        assert_eq!((plain.model, plain.pre), ("gpt2", "gpt-2"));
        assert!(!plain.merges.is_empty());
        assert!(plain.merges.iter().all(|it| it.split(' ').count() == 2));
        let kind = |text: &str| {
            let found = plain.tokens.iter().find(|it| it.0 == text);
            found.map(|it| it.2)
        };
        assert_eq!(kind("<|endoftext|>"), Some(TokenKind::Control));
        assert_eq!(kind("a"), Some(TokenKind::Normal));
        assert_eq!(kind("[PAD269]"), Some(TokenKind::Unused));
        assert_eq!(plain.tokens.len(), 270);
        assert!(!plain.add_bos && !plain.add_eos);
        let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let digits = json!({"type": "Digits", "individual_digits": true});
        let all = json!({"type": "Sequence", "pretokenizers": [digits, level]});
        assert_eq!(bytes(all).unwrap().pre, "smollm");
        for (pattern, name) in SPLITS {
            let mut level = level.clone();
            level["use_regex"] = json!(false);
            let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
            let all = json!({"type": "Sequence", "pretokenizers": [split, level]});
            assert_eq!(bytes(all).unwrap().pre, name);
        }
        let mut prefixed = level.clone();
        prefixed["add_prefix_space"] = json!(true);
        for (other, part) in [
            (prefixed, "puts a space"),
            (
                json!({"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, level]}),
                "how it splits",
            ),
            (json!({"type": "Whitespace"}), "no equal"),
        ] {
            let text = format!("{:#}", bytes(other).unwrap_err());
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_bpe_of_pieces_has_scores_and_types() {
        let llama = json!({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true});
        let found = pieces(&llama, "bpe_bytes.model").vocabulary(600).unwrap();
        assert_eq!(
            (found.model, found.pre, found.unk),
            ("llama", "default", Some(0))
        );
        assert!(
            found.add_bos && !found.add_eos && found.add_space_prefix && found.merges.is_empty()
        );
        let kinds: Vec<TokenKind> = found.tokens.iter().map(|it| it.2).collect();
        assert_eq!(
            kinds[..3],
            [TokenKind::Unknown, TokenKind::Control, TokenKind::Control]
        );
        assert_eq!(
            kinds.iter().filter(|it| **it == TokenKind::Byte).count(),
            256
        );
        // Pieces that are put together come in the order of their ids.
        let merged = found
            .tokens
            .iter()
            .filter(|it| it.2 == TokenKind::Normal && it.1 > LAST);
        let scores: Vec<f32> = merged.map(|it| it.1).collect();
        assert!(
            scores.len() > 20 && scores.windows(2).all(|two| two[0] > two[1]),
            "{scores:?}"
        );
        for (config, model, part) in [
            (json!({}), "unigram.model", "Unigram"),
            (json!({}), "bpe_symbols.model", "normalizer"),
            (llama, "bpe_bytes.model", "rows"),
        ] {
            let error = pieces(&config, model).vocabulary(400).unwrap_err();
            assert!(
                error.is::<BadInput>() && error.to_string().contains(part),
                "{error:#}"
            );
        }
    }
}
