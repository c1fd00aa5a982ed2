//! The records that every job is made of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    User,
    /// The side that holds the persona and is trained.
    Bot,
}

/// One utterance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub speaker: Speaker,
    pub text: String,
}

/// A dialogue and the persona of its bot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dialogue {
    pub id: String,
    pub persona: Vec<String>,
    pub turns: Vec<Turn>,
    /// What else is known of it, such as a world's truth.
    #[serde(default)]
    pub meta: Map<String, Value>,
}

/// A prompt and its completions: the one record of training and evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    pub id: String,
    /// What it may share a batch unit with: the dialogue it comes from.
    pub group: String,
    pub prompt: Prompt,
    pub completions: Vec<Completion>,
    /// What else is known of it, such as a world's truth, by which a reply can be judged.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub meta: Map<String, Value>,
}

/// What comes before a completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prompt {
    /// Text that can only be cut token by token.
    Text(String),
    /// Text whose turns can be dropped whole, oldest first, where it is too long.
    Parts {
        head: String,
        turns: Vec<String>,
        tail: String,
        /// Whether the model's own chat template wrote it: then the tokens are those of the text, and
        /// neither a BOS before it nor an EOS after its completion is added.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rendered: bool,
        /// What it says, where a chat template wrote it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        says: Option<Box<History>>,
    },
    /// What each side said, which no template has written yet.
    Dialogue(History),
}

/// What stands before a reply: who said what, and nothing of how that is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The sentences of the bot's persona, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona: Option<Vec<String>>,
    /// What else the bot is told before the first turn, such as guardrails: whole lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub told: String,
    pub turns: Vec<Said>,
}

/// One thing of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    Turn(Turn),
    /// What neither side says, such as what a database answers: whole lines, the last without its end.
    Note(String),
}

impl Prompt {
    /// Text in parts that no chat template wrote.
    pub fn parts(head: String, turns: Vec<String>, tail: String) -> Self {
        Prompt::Parts {
            head,
            turns,
            tail,
            rendered: false,
            says: None,
        }
    }

    /// Whether the model's own chat template wrote it.
    pub fn rendered(&self) -> bool {
        matches!(self, Prompt::Parts { rendered: true, .. })
    }

    /// Who said what; nothing of text that nobody has told apart.
    pub fn history(&self) -> Option<&History> {
        match self {
            Prompt::Text(_) => None,
            Prompt::Parts { says, .. } => says.as_deref(),
            Prompt::Dialogue(history) => Some(history),
        }
    }

    /// The sentences of the bot's persona; none where it has none.
    pub fn persona(&self) -> &[String] {
        let persona = self.history().and_then(|it| it.persona.as_deref());
        persona.unwrap_or_default()
    }

    /// What each side said, in order.
    pub fn turns(&self) -> impl DoubleEndedIterator<Item = &Turn> {
        let said = self.history().map_or(&[][..], |it| &it.turns);
        said.iter().filter_map(|it| match it {
            Said::Turn(turn) => Some(turn),
            Said::Note(_) => None,
        })
    }

    /// The same dialogue under another persona; text has none to replace.
    pub fn with_persona(&self, persona: &[String]) -> Prompt {
        match self {
            Prompt::Dialogue(history) => Prompt::Dialogue(History {
                persona: Some(persona.to_vec()),
                ..history.clone()
            }),
            text => text.clone(),
        }
    }
}

/// One continuation of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    pub text: String,
    pub role: Role,
    /// The ids that it was drawn as, an EOS among them where one was drawn. They stand for `text`,
    /// whose tokens can be others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<u32>>,
    /// Ranges of bytes of `text` that are scored, where not all of it is: what a chat template marks
    /// with `{% generation %}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored: Option<Vec<(usize, usize)>>,
}

impl Completion {
    /// A text to be tokenised and scored as a whole.
    pub fn new(text: impl Into<String>, role: Role) -> Self {
        Self {
            text: text.into(),
            role,
            tokens: None,
            scored: None,
        }
    }
}

/// What a completion is to its prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Reply,
    Chosen,
    Rejected,
    /// Labelled as good, with no other to compare it with.
    Desirable,
    /// Labelled as bad.
    Undesirable,
    /// One of several to rank, with its label.
    Candidate(String),
}

/// A prompt with labelled candidates, in the Dialogue-NLI shape (Welleck et al., arXiv 1811.00671).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankingItem {
    pub id: String,
    pub persona: Vec<String>,
    pub history: Vec<Turn>,
    /// Text and label: "hits", "entail", "random" or "contradict".
    pub candidates: Vec<(String, String)>,
}

/// What is found of a reply by something that knows the truth: a world's oracle or a flow graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the reply keeps to its guardrails; nothing where none has anything to say of it.
    pub adherent: Option<bool>,
    /// The kind of the guardrail that was at stake, kept or broken.
    pub rule: Option<String>,
    /// Where the conversation plays, such as a world's domain or a task.
    pub domain: String,
    /// Whether it states a fact that its prompt does not hold.
    pub hallucinated: Option<bool>,
    /// How natural it is as an answer to its history, from 0 to 1.
    pub naturalness: Option<f64>,
    /// It refuses or asks where no guardrail calls for that.
    pub over_conservative: bool,
    /// It says again what the bot has said before, or the same twice.
    pub repetitive: bool,
}
