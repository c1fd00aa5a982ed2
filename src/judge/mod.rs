//! Who says how good a reply is: a world's [`Oracle`], or a model behind an OpenAI-compatible
//! [`Endpoint`].
//!
//! A judge is asked in batches. What it has no verdict on comes back with the reason and is counted;
//! nothing is guessed.

mod ask;
mod budget;
mod cache;
mod client;
mod completion;
mod endpoint;
mod limits;
mod oracle;
mod parse;
mod prompts;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::Prompt;

pub use client::check_base_url;
pub use endpoint::{Endpoint, EndpointSettings, Place};
pub use limits::Limits;
pub use oracle::{Found, Oracle};
pub use prompts::{Criterion, Language, check_prompts};

/// Raised when a judge begins to be asked or understood otherwise, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// The lowest and the highest score that an endpoint is asked for.
pub const SCALE: (f64, f64) = (1.0, 10.0);

/// Something that judges replies.
pub trait Judge: Send + Sync {
    /// Scores each reply on the judge's criteria.
    ///
    /// # Errors
    /// Whatever keeps the judge from judging at all. One reply without scores is no error.
    fn score(&self, items: &[Item<'_>]) -> Result<Scored>;

    /// Says which of two replies is better, for each pair.
    ///
    /// # Errors
    /// As [`Judge::score`].
    fn compare(&self, pairs: &[Pair<'_>]) -> Result<Compared>;
}

/// A reply to score.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Names the reply in records of answers.
    pub id: &'a str,
    pub prompt: &'a Prompt,
    pub reply: &'a str,
    /// What is known of the prompt, which only an oracle reads.
    pub meta: &'a Map<String, Value>,
}

/// Two replies to compare.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Names the pair in records of answers.
    pub id: &'a str,
    pub prompt: &'a Prompt,
    pub first: &'a str,
    pub second: &'a str,
    /// What is known of the prompt, which only an oracle reads.
    pub meta: &'a Map<String, Value>,
}

/// Scores by criterion: from 0 to 1 an oracle's, within [`SCALE`] an endpoint's. More is more of
/// what the criterion names, so that a high score for hallucination is bad.
pub type Scores = BTreeMap<String, f64>;

/// Which reply of a pair is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    First,
    Second,
    Tie,
}

impl Choice {
    /// The choice if the two replies change places.
    pub fn swapped(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
            Self::Tie => Self::Tie,
        }
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "missing", content = "reason")]
pub enum Missing {
    /// The oracle has nothing to say of it.
    Undecided,
    /// The judge answered, but no verdict can be read in its answer.
    Unparsable(String),
    /// The judge could not be got to answer.
    Failed(String),
    /// The budget was spent before its turn came.
    OverBudget,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecided => f.write_str("undecided"),
            Self::Unparsable(reason) => write!(f, "unparsable: {reason}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::OverBudget => f.write_str("over budget"),
        }
    }
}

/// What became of the questions. One item is one question; one pair is two to an endpoint, which
/// is asked in both orders, and one to an oracle.
///
/// `questions` is the sum of `answered`, `undecided`, `unparsable`, `failed` and `over_budget`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub questions: usize,
    pub answered: usize,
    pub undecided: usize,
    pub unparsable: usize,
    pub failed: usize,
    pub over_budget: usize,
    /// Answers, readable or not, that cost nothing: known from before, or asked for twice.
    pub from_cache: usize,
    /// Requests sent, those sent again included.
    pub requests: u64,
    /// Tokens that the requests took: as the server says, or else one for every 3 bytes.
    pub tokens: u64,
}

impl Counts {
    fn add<T>(&mut self, verdict: &Result<T, Missing>) {
        self.questions += 1;
        *match verdict {
            Ok(_) => &mut self.answered,
            Err(Missing::Undecided) => &mut self.undecided,
            Err(Missing::Unparsable(_)) => &mut self.unparsable,
            Err(Missing::Failed(_)) => &mut self.failed,
            Err(Missing::OverBudget) => &mut self.over_budget,
        } += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} questions: {} answered, {} undecided, {} unparsable, {} failed, {} over budget; \
             {} from cache, {} requests, {} tokens",
            self.questions,
            self.answered,
            self.undecided,
            self.unparsable,
            self.failed,
            self.over_budget,
            self.from_cache,
            self.requests,
            self.tokens
        )
    }
}

/// What [`Judge::score`] found: one result an item, in order.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    pub scores: Vec<Result<Scores, Missing>>,
    pub counts: Counts,
}

/// What [`Judge::compare`] found: one result a pair, in order.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    pub choices: Vec<Result<Choice, Missing>>,
    pub counts: Counts,
    pub order: OrderBias,
}

/// How far the order of the two replies swayed a judge that was asked in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBias {
    /// Answers for the reply shown first.
    pub first: usize,
    /// Answers for the reply shown second.
    pub second: usize,
    /// Answers for neither.
    pub tie: usize,
    /// Pairs answered in both orders.
    pub pairs: usize,
    /// Of these, those whose two answers disagree, which count as ties.
    pub disagreements: usize,
}

impl OrderBias {
    /// How often the reply shown first wins where one does; 0.5 is no bias. `None` if no reply won.
    pub fn first_rate(&self) -> Option<f64> {
        let decided = self.first + self.second;
        (decided > 0).then(|| self.first as f64 / decided as f64)
    }
}
