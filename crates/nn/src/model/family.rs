//! The families, and what sets each apart: one file each, which everything else reads.

mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neox;
mod llama;
mod mistral;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;
mod traits;

pub use self::traits::{Names, Traits};
pub use super::config::Family;

impl Family {
    /// What sets it apart.
    pub fn traits(self) -> &'static Traits {
        match self {
            Family::Gpt2 => &gpt2::TRAITS,
            Family::Llama => &llama::TRAITS,
            Family::Mistral => &mistral::TRAITS,
            Family::Qwen2 => &qwen2::TRAITS,
            Family::Qwen3 => &qwen3::TRAITS,
            Family::Phi3 => &phi3::TRAITS,
            Family::SmolLm3 => &smollm3::TRAITS,
            Family::Olmo2 => &olmo2::TRAITS,
            Family::GptNeoX => &gpt_neox::TRAITS,
            Family::Gemma2 => &gemma2::TRAITS,
            Family::Gemma3 => &gemma3::TRAITS,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_found_by_its_name() {
        for family in Family::ALL {
            assert_eq!(Family::from_name(family.name()), Some(family));
            assert_eq!(serde_json::json!(family), family.name());
        }
        assert_eq!(Family::from_name("mamba"), None);
        assert!(Family::names().starts_with("gpt2, llama, mistral, qwen2, "));
    }
}
