//! Who knows the truth of an artifact's examples: a world's oracle, or a flow graph.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::data::{Example, Verdict, star};
use crate::store::Manifest;
use crate::world::guardrail;

/// An exact judge, by the kind of stage that made the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    GuardrailWorld,
    Star,
}

impl Oracle {
    /// The oracle of an artifact's examples.
    ///
    /// # Errors
    /// Where there is none, or the artifact cannot be read.
    pub fn of(artifact: &Path) -> Result<Self> {
        let manifest = Manifest::read(artifact)?;
        match manifest.kind.as_str() {
            "guardrail-world" => Ok(Self::GuardrailWorld),
            "star" => Ok(Self::Star),
            other => bail!(
                "{}, of kind {other}, has no oracle; judge with an endpoint (judge = \"endpoint\")",
                manifest.name
            ),
        }
    }

    /// Judges a reply to a prompt of which `meta` says what is known.
    ///
    /// # Errors
    /// Where that is not what such data have.
    pub fn judge(self, meta: &Map<String, Value>, prompt: &str, reply: &str) -> Result<Verdict> {
        match self {
            Self::GuardrailWorld => guardrail::oracle::judge_reply(meta, prompt, reply),
            Self::Star => star::adherence::judge_reply(meta, reply),
        }
    }

    /// Judges a reply to each example, and what the data replies there.
    ///
    /// # Errors
    /// As [`judge`](Self::judge).
    pub fn judge_all(
        self,
        examples: &[Example],
        replies: &[String],
    ) -> Result<(Vec<Verdict>, Vec<Verdict>)> {
        let both = |(example, reply): (&Example, &String)| {
            let prompt = example.prompt.text();
            let judge = |reply: &str| {
                self.judge(&example.meta, &prompt, reply)
                    .with_context(|| format!("example {}", example.id))
            };
            Ok((judge(&example.completions[0].text)?, judge(reply)?))
        };
        examples.par_iter().zip(replies).map(both).collect()
    }
}
