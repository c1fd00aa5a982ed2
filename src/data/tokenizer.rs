//! Tokenizers in Hugging Face's files, or a byte-level BPE trained here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Trainer};

use crate::store::{read_json, write_atomic};

/// Every file of a tokenizer that a model folder may hold.
const FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer.model",
];

/// Ends a text, for a tokenizer trained here.
const END: &str = "<|endoftext|>";

/// Text to token ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The files it was opened from, byte for byte, or those that a trained one is written as.
    files: BTreeMap<&'static str, Vec<u8>>,
    eos: u32,
    bos: Option<(u32, String)>,
}

/// Token ids of a text, and where in the text each one ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    pub ids: Vec<u32>,
    /// Byte offset of each token's end; 0 for a special token in front.
    pub ends: Vec<usize>,
}

impl Tokenizer {
    /// Opens a folder with `tokenizer.json` or with GPT-2's `vocab.json` and `merges.txt`, or a
    /// `tokenizer.json` by its own path. The files around it say which token ends a text.
    ///
    /// # Errors
    /// Missing or damaged files, or no end-of-text token to be found.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = if path.is_file() {
            path.parent().unwrap_or(Path::new("")).to_owned()
        } else {
            path.to_owned()
        };
        let mut files = BTreeMap::new();
        for name in FILES {
            let file = dir.join(name);
            if file.exists() {
                let bytes = std::fs::read(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                files.insert(name, bytes);
            }
        }
        let (vocab, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
        let inner = if let Some(bytes) = files.get("tokenizer.json") {
            tokenizers::Tokenizer::from_bytes(bytes)
                .map_err(|error| anyhow!("{}: {error}", dir.join("tokenizer.json").display()))?
        } else if vocab.exists() && merges.exists() {
            let model = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy())
                .build()
                .map_err(|error| anyhow!("{}: {error}", dir.display()))?;
            let mut inner = byte_level(model);
            if inner.token_to_id(END).is_some() {
                add_special(&mut inner, &[END])?;
            }
            inner
        } else {
            bail!(
                "{}: no tokenizer.json, and no vocab.json with merges.txt; convert the tokenizer \
                 to tokenizer.json first",
                dir.display()
            );
        };
        let names = special_names(&dir)?;
        let id = |name: &str| inner.token_to_id(name);
        let eos = names
            .eos
            .as_deref()
            .and_then(id)
            .or(names.eos_id)
            .or_else(|| id(END))
            .with_context(|| {
                format!(
                    "{}: no end-of-text token; name it as \"eos_token\" in tokenizer_config.json",
                    dir.display()
                )
            })?;
        let bos = names.bos.and_then(|name| Some((id(&name)?, name)));
        let mut tokenizer = Self {
            inner,
            files,
            eos,
            bos,
        };
        tokenizer.complete_files()?;
        Ok(tokenizer)
    }

    /// Trains a byte-level BPE (Sennrich et al., arXiv 1508.07909; bytes as GPT-2) of at most
    /// `vocab_size` tokens, deterministically.
    ///
    /// # Errors
    /// When the trainer fails.
    pub fn train_bpe(texts: Vec<String>, vocab_size: usize) -> Result<Self> {
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .show_progress(false)
            .special_tokens(vec![AddedToken::from(END, true)])
            // All 256 bytes, so that any text can be encoded.
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let splitter = byte_level(BPE::default());
        trainer
            .feed(texts.iter(), |text| {
                let mut pieces = tokenizers::PreTokenizedString::from(text);
                if let Some(split) = splitter.get_pre_tokenizer() {
                    tokenizers::PreTokenizer::pre_tokenize(split, &mut pieces)?;
                }
                let pieces = pieces.get_splits(
                    tokenizers::OffsetReferential::Original,
                    tokenizers::OffsetType::Byte,
                );
                Ok(pieces.into_iter().map(|(piece, ..)| piece.to_owned()).collect())
            })
            .map_err(|error| anyhow!("training the tokenizer: {error}"))?;
        let mut model = BPE::default();
        let special = trainer
            .train(&mut model)
            .map_err(|error| anyhow!("training the tokenizer: {error}"))?;
        let mut inner = byte_level(model);
        inner
            .add_special_tokens(special)
            .map_err(|error| anyhow!("training the tokenizer: {error}"))?;
        let eos = inner
            .token_to_id(END)
            .context("the trained tokenizer has lost its end token")?;
        let mut tokenizer = Self {
            inner,
            files: BTreeMap::new(),
            eos,
            bos: None,
        };
        tokenizer.complete_files()?;
        Ok(tokenizer)
    }

    /// Adds the files without which transformers could not open the tokenizer.
    fn complete_files(&mut self) -> Result<()> {
        if !self.files.contains_key("tokenizer.json") {
            let text = self
                .inner
                .to_string(true)
                .map_err(|error| anyhow!("writing the tokenizer: {error}"))?;
            self.files.insert("tokenizer.json", text.into_bytes());
        }
        if !self.files.contains_key("tokenizer_config.json") {
            let mut config = json!({"tokenizer_class": "PreTrainedTokenizerFast"});
            config["eos_token"] = json!(self.inner.id_to_token(self.eos));
            if let Some((_, name)) = &self.bos {
                config["bos_token"] = json!(name);
            }
            let text = serde_json::to_vec_pretty(&config)?;
            self.files.insert("tokenizer_config.json", text);
        }
        Ok(())
    }

    /// Writes the tokenizer's files into `dir`: those it was opened from as they are.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        for (name, bytes) in &self.files {
            write_atomic(&dir.join(name), bytes)?;
        }
        Ok(())
    }

    /// Tokenises a text as one piece. A BOS goes in front where the tokenizer's own files say so,
    /// unless the text already begins with it; an EOS is never added here.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        let doubled = matches!(&self.bos, Some((_, name)) if text.starts_with(name.as_str()));
        let encoding = self
            .inner
            .encode(text, !doubled)
            .map_err(|error| anyhow!("tokenising: {error}"))?;
        let mut ids = encoding.get_ids().to_vec();
        let mut ends: Vec<usize> = encoding.get_offsets().iter().map(|o| o.1).collect();
        // A post-processor may close the text, marked by an empty span at the end.
        while ids.len() > 1
            && ids.last() == Some(&self.eos)
            && ends.last() == Some(&0)
        {
            ids.pop();
            ends.pop();
        }
        Ok(Encoding { ids, ends })
    }

    /// Token ids to text, special tokens left out.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner
            .decode(ids, true)
            .map_err(|error| anyhow!("decoding: {error}"))
    }

    /// The token that ends a text.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The token that begins a text, where there is one.
    pub fn bos(&self) -> Option<u32> {
        self.bos.as_ref().map(|bos| bos.0)
    }

    /// Number of tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

fn byte_level(model: BPE) -> tokenizers::Tokenizer {
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let byte_level = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(byte_level));
    tokenizer.with_decoder(Some(byte_level));
    tokenizer
}

fn add_special(tokenizer: &mut tokenizers::Tokenizer, names: &[&str]) -> Result<()> {
    let tokens: Vec<AddedToken> = names.iter().map(|&n| AddedToken::from(n, true)).collect();
    tokenizer
        .add_special_tokens(tokens)
        .map(|_| ())
        .map_err(|error| anyhow!("adding special tokens: {error}"))
}

#[derive(Default)]
struct Special {
    eos: Option<String>,
    bos: Option<String>,
    eos_id: Option<u32>,
}

/// What the files around a tokenizer call its special tokens.
fn special_names(dir: &Path) -> Result<Special> {
    let mut special = Special::default();
    for file in ["tokenizer_config.json", "special_tokens_map.json"] {
        let Some(value) = find_json(&dir.join(file))? else {
            continue;
        };
        let name = |key: &str| -> Option<String> {
            let token = &value[key];
            let text = token.as_str().or_else(|| token["content"].as_str());
            text.map(str::to_owned)
        };
        special.eos = special.eos.or_else(|| name("eos_token"));
        special.bos = special.bos.or_else(|| name("bos_token"));
    }
    for file in ["generation_config.json", "config.json"] {
        if let Some(value) = find_json(&dir.join(file))? {
            let id = &value["eos_token_id"];
            let id = id.as_u64().or_else(|| id[0].as_u64());
            special.eos_id = special.eos_id.or(id.map(|id| id as u32));
        }
    }
    Ok(special)
}

fn find_json(path: &PathBuf) -> Result<Option<Value>> {
    path.exists().then(|| read_json(path)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::write_json;

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
        assert_eq!((opened.eos(), opened.vocab_size()), (first.eos(), first.vocab_size()));
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
}
