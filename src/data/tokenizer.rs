//! Tokenizers in Hugging Face's files, or a byte-level BPE trained here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Trainer};

use crate::store::{Hash, hash_bytes, hash_json, read_json, write_atomic};

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

/// Fills batches in other programs, for a tokenizer trained here.
const PAD: &str = "<|pad|>";

/// Text to token ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The files it was opened from, byte for byte, or those that a trained one is written as.
    files: BTreeMap<&'static str, Vec<u8>>,
    eos: (u32, String),
    bos: Option<(u32, String)>,
    pad: Option<u32>,
}

/// Token ids of a text, and where in the text each one lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    pub ids: Vec<u32>,
    /// Byte offset of each token's beginning; 0 for a special token in front.
    pub starts: Vec<usize>,
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
            let file = match name {
                "tokenizer.json" if path.is_file() => path.to_owned(),
                _ => dir.join(name),
            };
            if file.exists() {
                let bytes = std::fs::read(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                files.insert(name, bytes);
            }
        }
        let (vocab, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
        let mut inner = if let Some(bytes) = files.get("tokenizer.json") {
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| {
                let file = if path.is_file() {
                    path
                } else {
                    &dir.join("tokenizer.json")
                };
                anyhow!("{}: not a tokenizer.json: {error}", file.display())
            })?
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
        // A file may ask for truncation or padding; neither may happen unseen.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| anyhow!("{}: {error}", dir.display()))?;
        let names = special_names(&dir)?;
        let named = |name: String| Some((inner.token_to_id(&name)?, name));
        let by_id = |id: u32| Some((id, inner.id_to_token(id)?));
        let eos = names
            .eos
            .and_then(named)
            .or_else(|| names.eos_id.and_then(by_id))
            .or_else(|| named(END.to_owned()))
            .with_context(|| {
                format!(
                    "{}: no end-of-text token; name one of its tokens as \"eos_token\" in \
                     tokenizer_config.json",
                    dir.display()
                )
            })?;
        let bos = names.bos.and_then(named);
        let pad = names.pad.and_then(named).map(|(id, _)| id);
        let mut tokenizer = Self {
            inner,
            files,
            eos,
            bos,
            pad,
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
            .special_tokens([END, PAD].map(|name| AddedToken::from(name, true)).into())
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
                Ok(pieces
                    .into_iter()
                    .map(|(piece, ..)| piece.to_owned())
                    .collect())
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
        let lost = "the trained tokenizer has lost its special tokens";
        let mut tokenizer = Self {
            eos: (inner.token_to_id(END).context(lost)?, END.to_owned()),
            bos: None,
            pad: Some(inner.token_to_id(PAD).context(lost)?),
            inner,
            files: BTreeMap::new(),
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
            config["eos_token"] = json!(self.eos.1);
            if let Some((_, name)) = &self.bos {
                config["bos_token"] = json!(name);
            }
            if let Some(name) = self.pad.and_then(|pad| self.inner.id_to_token(pad)) {
                config["pad_token"] = json!(name);
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
        self.encode_as(text, false)
    }

    /// [`encode`](Self::encode), but of a text that a chat template has `rendered`, the tokens of the text
    /// alone: nothing goes in front.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn encode_as(&self, text: &str, rendered: bool) -> Result<Encoding> {
        let encoding = self.inner.encode(text, self.adds_special(text, rendered));
        let encoding = encoding.map_err(|error| anyhow!("tokenising: {error}"))?;
        let of_text = ..self.of_text(&encoding);
        let offsets = &encoding.get_offsets()[of_text];
        Ok(Encoding {
            ids: encoding.get_ids()[of_text].to_vec(),
            starts: offsets.iter().map(|it| it.0).collect(),
            ends: offsets.iter().map(|it| it.1).collect(),
        })
    }

    /// The ids of [`encode_as`](Self::encode_as), for less where nobody asks for places.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn ids(&self, text: &str, rendered: bool) -> Result<Vec<u32>> {
        let special = self.adds_special(text, rendered);
        let encoding = self.inner.encode_fast(text, special);
        let encoding = encoding.map_err(|error| anyhow!("tokenising: {error}"))?;
        Ok(encoding.get_ids()[..self.of_text(&encoding)].to_vec())
    }

    fn adds_special(&self, text: &str, rendered: bool) -> bool {
        let doubled = matches!(&self.bos, Some((_, name)) if text.starts_with(name.as_str()));
        !rendered && !doubled
    }

    /// How many tokens are left without those that a post-processor puts after the text, such as an EOS.
    fn of_text(&self, encoding: &tokenizers::Encoding) -> usize {
        let added = encoding.get_special_tokens_mask().iter().rev();
        let added = added.take_while(|&&it| it == 1).count();
        let bos = encoding.get_ids().first().copied() == self.bos() && !encoding.is_empty();
        (encoding.len() - added).max(usize::from(bos))
    }

    /// Whether a token is one that the tokenizer's files call special, such as those that mark turns.
    pub fn is_special(&self, id: u32) -> bool {
        let added = self.inner.get_added_vocabulary();
        let token = added.get_added_tokens_decoder().get(&id);
        token.is_some_and(|token| token.special)
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
        self.eos.0
    }

    /// How the token that ends a text is written.
    pub fn eos_text(&self) -> &str {
        &self.eos.1
    }

    /// The token that begins a text, where there is one.
    pub fn bos(&self) -> Option<u32> {
        self.bos.as_ref().map(|bos| bos.0)
    }

    /// The token that fills batches, where there is one.
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// How many ids a model must know: one more than the greatest, special tokens included.
    pub fn vocab_size(&self) -> usize {
        let ids = self.inner.get_vocab(true);
        ids.values().max().map_or(0, |&id| id as usize + 1)
    }

    /// Hash of all that decides which ids a text gets.
    pub fn hash(&self) -> Hash {
        let files = self.files.iter();
        hash_json(
            &files
                .map(|(name, bytes)| json!([name, hash_bytes(bytes)]))
                .collect(),
        )
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
    pad: Option<String>,
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
        special.pad = special.pad.or_else(|| name("pad_token"));
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

fn find_json(path: &Path) -> Result<Option<Value>> {
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
}
