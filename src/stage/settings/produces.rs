//! What stages make, by type.

use std::fmt;

/// The type of artifact that a stage makes, so that a recipe cannot plug a model in for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Produces {
    /// Dialogues with their personas.
    Dialogues,
    /// Prompts, each with a chosen and a rejected completion.
    Pairs,
    /// Prompts, each with a completion that is labelled as desirable or not.
    Labels,
    /// Prompts with completions, or plain text.
    Rows,
    /// Dialogues that raters have scored, and rows of them.
    Rated,
    /// A tokenizer.
    Tokenizer,
    /// A Hugging Face model folder.
    Model,
    /// One or more Hugging Face model folders with a head that scores sequences.
    RewardModel,
    /// Texts that are labelled with a class.
    Classes,
    /// Prompts with labelled candidates to rank.
    Ranking,
    /// Named numbers.
    Measure,
}

impl fmt::Display for Produces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dialogues => "dialogues",
            Self::Pairs => "preference pairs",
            Self::Labels => "labelled completions",
            Self::Rows => "rows",
            Self::Rated => "rated dialogues",
            Self::Tokenizer => "a tokenizer",
            Self::Model => "a model",
            Self::RewardModel => "a reward model",
            Self::Classes => "texts with classes",
            Self::Ranking => "ranking items",
            Self::Measure => "measures",
        })
    }
}

/// The artifacts whose splits can be read as examples.
pub const EXAMPLES: &[Produces] = &[
    Produces::Dialogues,
    Produces::Rows,
    Produces::Rated,
    Produces::Pairs,
];
