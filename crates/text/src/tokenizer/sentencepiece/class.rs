//! Which of transformers' tokenizer classes reads a SentencePiece model: the one that its `AutoTokenizer` (5.24) takes
//! for the folder, of those that are followed here.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Map, Value};

/// A class, and with it how the model's file is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `TokenizersBackend`: follows the settings of the model itself.
    Backend,
    /// `LlamaTokenizer`: a BPE without a normaliser.
    Llama,
    /// `T5Tokenizer`: a Unigram that splits at whitespace, as rinna's models have it.
    T5,
}

impl Class {
    /// The class for a folder with these configurations, the tokenizer's and the model's.
    ///
    /// # Errors
    /// A class that is not followed, by name.
    pub(super) fn of(
        config: &Map<String, Value>,
        model: &Map<String, Value>,
        dir: &Path,
    ) -> Result<Self> {
        let text = |file: &Map<String, Value>, key: &str| {
            let text = file.get(key)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let kind = text(model, "model_type").unwrap_or_default();
        let registered = registered(&kind);
        let said = text(config, "tokenizer_class").or_else(|| text(model, "tokenizer_class"));
        let name = match (&said, registered) {
            (None, registered) => registered.unwrap_or(BACKEND),
            (Some(said), None) => said,
            (Some(said), Some(registered)) => match said.strip_suffix("Fast").unwrap_or(said) {
                bare if bare == registered => registered,
                _ if registered == BACKEND => BACKEND,
                _ if kind == "qwen2" => registered,
                _ => said,
            },
        };
        Ok(match name.strip_suffix("Fast").unwrap_or(name) {
            BACKEND | "PreTrainedTokenizer" => Self::Backend,
            "LlamaTokenizer" => Self::Llama,
            "T5Tokenizer" => Self::T5,
            _ => bail!(
                "{}: transformers opens it with {name}, and a SentencePiece model is read as LlamaTokenizer, T5Tokenizer \
                 or TokenizersBackend only; name one of these as \"tokenizer_class\" in tokenizer_config.json if it is \
                 meant, or save the tokenizer as tokenizer.json with save_pretrained of transformers' AutoTokenizer",
                dir.display()
            ),
        })
    }

    /// What transformers calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Backend => BACKEND,
            Self::Llama => "LlamaTokenizer",
            Self::T5 => "T5Tokenizer",
        }
    }
}

const BACKEND: &str = "TokenizersBackend";

/// The class that transformers has for a kind of model, of those that are read here.
fn registered(model_type: &str) -> Option<&'static str> {
    Some(match model_type {
        "gpt2" => "GPT2Tokenizer",
        "gpt_neox" => "GPTNeoXTokenizer",
        "qwen2" | "qwen3" => "Qwen2Tokenizer",
        "gemma2" | "gemma3" | "gemma3_text" => "GemmaTokenizer",
        "t5" => "T5Tokenizer",
        "mistral" | "phi3" | "olmo2" => BACKEND,
        _ => return None,
    })
}
