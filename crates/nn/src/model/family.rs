//! The families, and what sets each apart: one table each, which everything else reads.

use serde::{Deserialize, Serialize};

/// Whose tensor names and conventions a model follows when it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Radford et al. 2019: LayerNorm, learned positions, GELU, biases everywhere.
    Gpt2,
    /// Touvron et al. 2023 (arXiv 2302.13971, 2307.09288): RMSNorm, rotary positions, SwiGLU.
    Llama,
    /// Jiang et al. 2023 (arXiv 2310.06825): Llama with grouped queries and a sliding window.
    Mistral,
    /// Yang et al. 2024 (arXiv 2407.10671): Llama with biases on queries, keys and values.
    Qwen2,
}

/// What sets a family apart.
pub struct Traits {
    /// The `model_type` of `config.json`.
    pub name: &'static str,
    /// What its classes of transformers begin with.
    pub class: &'static str,
    pub block: Block,
    pub biases: Biases,
    pub window: Window,
    /// Whether its configuration class refuses a hidden size that heads do not divide, even where `head_dim` is given.
    pub whole_heads: bool,
    pub defaults: Defaults,
}

/// What its blocks are made of, which its tensors and keys are named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// LayerNorm, learned positions, GELU, one tensor for queries, keys and values, weights stored by input.
    Gpt2,
    /// RMSNorm, rotary positions, SwiGLU, weights stored by output.
    Llama,
}

/// Which linear layers have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Biases {
    All,
    Nothing,
    /// Queries, keys and values alone.
    Qkv,
    /// As `attention_bias` and `mlp_bias` say.
    Keys,
}

/// Whether attention may slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    Never,
    /// By `sliding_window`, which is as given here where it is left out.
    Key(usize),
    /// The same, if `use_sliding_window` says so, in the layers from `max_window_layers` on.
    Flag(usize),
}

/// What its configuration class of transformers takes where `config.json` is silent.
pub struct Defaults {
    pub vocab_size: usize,
    /// Nothing: four times the hidden size.
    pub intermediate_size: Option<usize>,
    /// Nothing: as many as heads.
    pub num_key_value_heads: Option<usize>,
    pub max_position_embeddings: usize,
    pub bos_token_id: Option<u32>,
    pub eos_token_id: Option<u32>,
}

impl Family {
    pub const ALL: [Family; 4] = [Family::Gpt2, Family::Llama, Family::Mistral, Family::Qwen2];

    /// What sets it apart.
    pub fn traits(self) -> &'static Traits {
        match self {
            Family::Gpt2 => &GPT2,
            Family::Llama => &LLAMA,
            Family::Mistral => &MISTRAL,
            Family::Qwen2 => &QWEN2,
        }
    }

    /// The `model_type` of `config.json`.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// The family of a `model_type`, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// Every name, for messages.
    pub fn names() -> String {
        Self::ALL.map(Family::name).join(", ")
    }
}

static GPT2: Traits = Traits {
    name: "gpt2",
    class: "GPT2",
    block: Block::Gpt2,
    biases: Biases::All,
    window: Window::Never,
    whole_heads: false,
    defaults: Defaults {
        vocab_size: 50257,
        intermediate_size: None,
        num_key_value_heads: None,
        max_position_embeddings: 1024,
        bos_token_id: Some(50256),
        eos_token_id: Some(50256),
    },
};

static LLAMA: Traits = Traits {
    name: "llama",
    class: "Llama",
    block: Block::Llama,
    biases: Biases::Keys,
    window: Window::Never,
    whole_heads: true,
    defaults: Defaults {
        vocab_size: 32000,
        intermediate_size: Some(11008),
        num_key_value_heads: None,
        max_position_embeddings: 2048,
        bos_token_id: Some(1),
        eos_token_id: Some(2),
    },
};

static MISTRAL: Traits = Traits {
    name: "mistral",
    class: "Mistral",
    block: Block::Llama,
    biases: Biases::Nothing,
    window: Window::Key(4096),
    whole_heads: false,
    defaults: Defaults {
        vocab_size: 32000,
        intermediate_size: Some(14336),
        num_key_value_heads: Some(8),
        max_position_embeddings: 131_072,
        bos_token_id: Some(1),
        eos_token_id: Some(2),
    },
};

static QWEN2: Traits = Traits {
    name: "qwen2",
    class: "Qwen2",
    block: Block::Llama,
    biases: Biases::Qkv,
    window: Window::Flag(4096),
    whole_heads: false,
    defaults: Defaults {
        vocab_size: 151_936,
        intermediate_size: Some(22016),
        num_key_value_heads: Some(32),
        max_position_embeddings: 32768,
        bos_token_id: None,
        eos_token_id: None,
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_found_by_its_name() {
        for family in Family::ALL {
            assert_eq!(Family::from_name(family.name()), Some(family));
        }
        assert_eq!(Family::from_name("mamba"), None);
        assert_eq!(Family::names(), "gpt2, llama, mistral, qwen2");
    }
}
