//! The shared modules behind each kind's results. Their versions are part of a stage's identity, so that a change of
//! what they do leaves old artifacts alone, as raising a kind's own version does.

use crate::{data, generate, judge, model, train, world};

/// A module that several kinds compute with, and its version.
pub type Module = (&'static str, u32);

const CHAT: Module = ("chat", data::chat::VERSION);
const ENCODE: Module = ("encode", data::encode::VERSION);
const GENERATE: Module = ("generate", generate::VERSION);
const JUDGE: Module = ("judge", judge::VERSION);
const MODEL: Module = ("model", model::VERSION);
const ORACLE: Module = ("oracle", world::VERSION);
const PPO: Module = ("ppo", train::ppo::VERSION);
const TEMPLATE: Module = ("template", data::template::VERSION);
const TOKENIZER: Module = ("tokenizer", data::TOKENIZER_VERSION);
const TRAIN: Module = ("train", train::VERSION);

const READING: &[Module] = &[CHAT];
const TOKENS: &[Module] = &[TOKENIZER];
const MODELS: &[Module] = &[TOKENIZER, MODEL];
/// What log-probabilities and scores of texts come from.
pub const SCORING: &[Module] = &[CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL];
const TRAINING: &[Module] = &[CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL, TRAIN];
const SAMPLING: &[Module] = &[CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL, GENERATE, ORACLE];
const JUDGING: &[Module] = &[
    CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL, GENERATE, ORACLE, JUDGE,
];
const REINFORCING: &[Module] = &[
    CHAT, TEMPLATE, TOKENIZER, ENCODE, MODEL, TRAIN, GENERATE, ORACLE, PPO,
];

/// What each kind computes with.
const USES: &[(&str, &[Module])] = &[
    ("agreement", SCORING),
    ("ai-feedback", JUDGING),
    ("aif", JUDGING),
    ("dpo", TRAINING),
    ("failures", JUDGING),
    ("guardrail-world", &[]),
    ("impression-world", &[]),
    ("judge", JUDGING),
    ("kto", TRAINING),
    ("nli", &[TEMPLATE, ORACLE]),
    ("pseudo-preferences", SAMPLING),
    ("perplexity", SCORING),
    ("persona-files", &[]),
    ("persona-world", &[]),
    ("ppo", REINFORCING),
    ("pretrained", MODELS),
    ("pretrained-reward-model", MODELS),
    ("prompted-ratings", JUDGING),
    ("rank", SCORING),
    ("ratings", READING),
    ("replies", SAMPLING),
    ("reward-model", TRAINING),
    ("preferences", READING),
    ("completions", READING),
    ("labels", READING),
    ("scratch", MODELS),
    ("sft", TRAINING),
    ("star", &[]),
    ("tokenizer", TOKENS),
    ("tournament", JUDGING),
];

/// The shared modules that a kind computes with; none for a kind that is not listed, as those of tests.
pub fn of(kind: &str) -> &'static [Module] {
    let found = USES.iter().find(|(name, _)| *name == kind);
    found.map_or(&[], |(_, modules)| modules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::KINDS;

    #[test]
    fn every_kind_says_what_it_computes_with() {
        let mut kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        let mut listed: Vec<&str> = USES.iter().map(|(name, _)| *name).collect();
        kinds.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, kinds);
    }
}
