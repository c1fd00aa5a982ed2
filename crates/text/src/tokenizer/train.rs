//! Training a byte-level BPE.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Trainer};

use super::chat::Chat;
use super::{END, PAD, Tokenizer};

impl Tokenizer {
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
            ids: inner.get_vocab_size(true),
            inner,
            files: BTreeMap::new(),
            file: PathBuf::from("tokenizer.json"),
            notes: Vec::new(),
            chat: Chat::default(),
        };
        tokenizer.complete_files(None)?;
        Ok(tokenizer)
    }
}

pub(super) fn byte_level(model: BPE) -> tokenizers::Tokenizer {
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let byte_level = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(byte_level));
    tokenizer.with_decoder(Some(byte_level));
    tokenizer
}

pub(super) fn add_special(tokenizer: &mut tokenizers::Tokenizer, names: &[&str]) -> Result<()> {
    let tokens: Vec<AddedToken> = names.iter().map(|&n| AddedToken::from(n, true)).collect();
    tokenizer
        .add_special_tokens(tokens)
        .map(|_| ())
        .map_err(|error| anyhow!("adding special tokens: {error}"))
}
