//! Tokenizers in Hugging Face's files, or a byte-level BPE trained here.

mod chat;
mod declared;
mod decode;
pub(super) mod names;
mod open;
mod sentencepiece;
mod train;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use rapport_store::{Hash, OrBadInput as _, hash_bytes, read_regular, write_atomic};
use serde_json::{Value, json};

use crate::caught::caught;
use crate::chat::ChatTemplate;
use chat::Chat;

/// Raised when the same files or texts begin to give another tokenizer, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// Every file of a tokenizer that a model folder may hold.
const FILES: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
];

/// Those that only say something about the others.
const AROUND: [&str; 3] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// Ends a text, for a tokenizer trained here.
const END: &str = "<|endoftext|>";

/// Fills batches in other programs, for a tokenizer trained here.
const PAD: &str = "<|pad|>";

/// Bytes of one of a tokenizer's files; the largest that is published has a tenth.
const LIMIT: u64 = 1 << 28;

/// Text to token ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The files it was opened from, byte for byte, or those that a trained one is written as.
    files: BTreeMap<&'static str, Vec<u8>>,
    /// The file that messages name.
    file: PathBuf,
    notes: Vec<String>,
    /// One more than the greatest id that any text gets.
    ids: usize,
    eos: (u32, String),
    bos: Option<(u32, String)>,
    pad: Option<u32>,
    chat: Chat,
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
    /// The chat template of its folder, which writes dialogues; nothing where it has none.
    ///
    /// # Errors
    /// A template that cannot be read.
    pub fn template(&self) -> Result<Option<&ChatTemplate>> {
        self.chat.template()
    }

    /// The same, with another template or none.
    pub fn with_template(self, template: Option<Arc<ChatTemplate>>) -> Self {
        let chat = Chat::of(template);
        Self { chat, ..self }
    }

    /// Adds the files without which transformers could not open the tokenizer. A SentencePiece model is read by the
    /// `class` of transformers that was followed, and a `tokenizer.json` beside it would be read in its place.
    fn complete_files(&mut self, class: Option<&str>) -> Result<()> {
        if class.is_none() && !self.files.contains_key("tokenizer.json") {
            let text = self
                .inner
                .to_string(true)
                .map_err(|error| anyhow!("writing the tokenizer: {error}"))?;
            self.files.insert("tokenizer.json", text.into_bytes());
        }
        if !self.files.contains_key("tokenizer_config.json") {
            let class = class.unwrap_or("PreTrainedTokenizerFast");
            let mut config = json!({"tokenizer_class": class});
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
        let encoding = self.unbroken("tokenising", text.len(), || {
            self.inner.encode(text, self.adds_special(text, rendered))
        })?;
        let of_text = ..self.of_text(&encoding);
        let offsets = &encoding.get_offsets()[of_text];
        Ok(Encoding {
            ids: self.known(&encoding.get_ids()[of_text])?,
            starts: offsets.iter().map(|it| it.0).collect(),
            ends: offsets.iter().map(|it| it.1).collect(),
        })
    }

    /// The ids of [`encode_as`](Self::encode_as), for less where nobody asks for places.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn ids(&self, text: &str, rendered: bool) -> Result<Vec<u32>> {
        let encoding = self.unbroken("tokenising", text.len(), || {
            self.inner
                .encode_fast(text, self.adds_special(text, rendered))
        })?;
        self.known(&encoding.get_ids()[..self.of_text(&encoding)])
    }

    /// The ids, if each is of a token of the tokenizer.
    fn known(&self, ids: &[u32]) -> Result<Vec<u32>> {
        match ids.iter().find(|id| **id as usize >= self.ids) {
            None => Ok(ids.to_vec()),
            Some(id) => bail!(
                "{}: gives token {id}, which is none of its {}; save the tokenizer again",
                self.file.display(),
                self.ids
            ),
        }
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
        self.unbroken("decoding", ids.len(), || self.inner.decode(ids, true))
    }

    /// What the tokenizer returns, where it neither refuses its input nor breaks off on it.
    fn unbroken<T>(
        &self,
        doing: &str,
        size: usize,
        work: impl FnOnce() -> tokenizers::Result<T>,
    ) -> Result<T> {
        let file = self.file.display();
        match caught(work) {
            Some(Ok(done)) => Ok(done),
            Some(Err(error)) => Err(anyhow!("{file}: {doing}: {error}")),
            None => Err(anyhow!(
                "{file}: damaged: the tokenizers library breaks off while {doing} {size} {}; save the \
                 tokenizer again",
                match doing {
                    "decoding" => "tokens",
                    _ => "bytes",
                }
            )),
        }
        .or_bad_input()
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

    /// How many ids a model must know: one more than the greatest, special tokens included and those that
    /// are put around a text.
    pub fn vocab_size(&self) -> usize {
        self.ids
    }

    /// The ids from `size` on, with their names, which are none of the vocabulary where something else
    /// than a text gives them.
    pub fn beyond(&self, size: usize) -> Vec<(u32, Option<String>)> {
        let named = self.inner.get_vocab(true).into_iter();
        let mut found: Vec<_> = named
            .filter(|(_, id)| *id as usize >= size)
            .map(|(name, id)| (id, Some(name)))
            .collect();
        let last = self.ids as u32 - 1;
        if self.ids > size && !found.iter().any(|(id, _)| *id == last) {
            found.push((last, None));
        }
        found.sort();
        found
    }

    /// What was done otherwise than its files say alone, for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Hash of which ids a text gets, whatever files say so.
    ///
    /// # Errors
    /// When the tokenizer cannot be written down.
    pub fn identity(&self) -> Result<Hash> {
        let text = self.inner.to_string(false);
        let text = text.map_err(|error| anyhow!("{}: {error}", self.file.display()))?;
        Ok(hash_bytes(text.as_bytes()))
    }
}

/// A JSON file's value, where the file is there.
fn find_json(path: &Path) -> Result<Option<Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let value = serde_json::from_slice(&read_regular(path, LIMIT)?);
    value
        .map(Some)
        .map_err(|error| anyhow!("{}: not valid JSON: {error}", path.display()))
}

#[cfg(test)]
mod tests;
