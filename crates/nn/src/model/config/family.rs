//! The families by name.

use serde::{Deserialize, Serialize};

/// Whose tensor names and conventions a model follows when it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Gpt2,
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Phi3,
    SmolLm3,
    Olmo2,
    #[serde(rename = "gpt_neox")]
    GptNeoX,
    Gemma2,
    #[serde(rename = "gemma3_text")]
    Gemma3,
}

impl Family {
    pub const ALL: [Family; 11] = [
        Family::Gpt2,
        Family::Llama,
        Family::Mistral,
        Family::Qwen2,
        Family::Qwen3,
        Family::Phi3,
        Family::SmolLm3,
        Family::Olmo2,
        Family::GptNeoX,
        Family::Gemma2,
        Family::Gemma3,
    ];
}
