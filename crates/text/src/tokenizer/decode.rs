//! Token ids back to text, where they stand.

use anyhow::{Result, anyhow};
use rapport_store::{Hash, hash_json};
use serde_json::json;

use super::Tokenizer;

impl Tokenizer {
    /// The text that `ids` add to that of the tokens `before` them, special tokens spelled out. Decoded alone, a
    /// first token can lose its space, as Llama's decoder takes it off, and a character its first bytes.
    ///
    /// # Errors
    /// When the tokenizer refuses the ids.
    pub fn decode_after(&self, before: &[u32], ids: &[u32]) -> Result<String> {
        let spelled = |ids: &[u32]| {
            let text = self.inner.decode(ids, false);
            text.map_err(|error| anyhow!("decoding: {error}"))
        };
        let mut whole = spelled(&[before, ids].concat())?;
        let before = spelled(before)?;
        // Where they part, the text before ends in bytes that only what follows makes a character.
        let shared = before.chars().zip(whole.chars());
        let shared = shared
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8());
        Ok(whole.split_off(shared.sum()))
    }

    /// Hash of what each id stands for: ids that one tokenizer gave mean the same to another of equal hash.
    pub fn vocabulary_hash(&self) -> Hash {
        let mut vocabulary: Vec<(u32, String)> = self
            .inner
            .get_vocab(true)
            .into_iter()
            .map(|(token, id)| (id, token))
            .collect();
        vocabulary.sort_unstable();
        hash_json(&json!(vocabulary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rapport_store::write_json;

    /// A tokenizer of these tokens, which a decoder as Llama's turns into text.
    fn llama(tokens: &[&str]) -> Tokenizer {
        let vocab: serde_json::Map<_, _> = tokens
            .iter()
            .enumerate()
            .map(|(id, token)| ((*token).to_owned(), json!(id)))
            .collect();
        let special = |id: usize| {
            json!({"id": id, "content": tokens[id], "special": true, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false})
        };
        let file = json!({
            "version": "1.0",
            "added_tokens": [special(0), special(1)],
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]},
            "model": {"type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true},
        });
        let dir = tempfile::tempdir().unwrap();
        write_json(&dir.path().join("tokenizer.json"), &file).unwrap();
        let config = json!({"eos_token": tokens[0]});
        write_json(&dir.path().join("tokenizer_config.json"), &config).unwrap();
        Tokenizer::open(dir.path()).unwrap()
    }

    #[test]
    fn a_reply_keeps_its_first_space_its_bytes_and_its_special_tokens() {
        let tokens = [
            "</s>", "<|user|>", "▁hi", "▁there", "<0xC3>", "<0xA9>", "<0xF0>",
        ];
        let tokenizer = llama(&tokens);
        let after = |before: &[u32], ids: &[u32]| tokenizer.decode_after(before, ids).unwrap();
        assert_eq!(tokenizer.decode(&[3]).unwrap(), "there", "alone");
        assert_eq!(after(&[2], &[3]), " there");
        assert_eq!(after(&[1], &[3, 3]), " there there");
        // The first byte of a character stands before the reply, and the last one never comes.
        assert_eq!(after(&[2, 4], &[5, 3]), "é there");
        assert_eq!(after(&[2], &[4]), "\u{fffd}");
        assert_eq!(after(&[2], &[3, 1, 3]), " there<|user|> there");
        assert_eq!(after(&[2, 3], &[]), "");
        // An id that no token has, as a padded vocabulary's.
        assert_eq!(after(&[2], &[99, 3]), " there");
    }

    #[test]
    fn vocabularies_are_the_same_where_every_id_is() {
        let one = llama(&["</s>", "<|user|>", "▁hi"]);
        assert_eq!(
            one.vocabulary_hash(),
            llama(&["</s>", "<|user|>", "▁hi"]).vocabulary_hash()
        );
        for other in [
            ["</s>", "▁hi", "<|user|>"].as_slice(),
            &["</s>", "<|user|>", "▁hi", "▁there"],
        ] {
            assert_ne!(one.vocabulary_hash(), llama(other).vocabulary_hash());
        }
    }
}
