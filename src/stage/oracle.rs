//! Who knows the truth of an artifact's examples: a world's oracle, or a flow graph.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rayon::prelude::*;

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

    /// Judges a reply to an example's prompt.
    ///
    /// # Errors
    /// Where the example lacks what is known of it.
    pub fn judge(self, example: &Example, reply: &str) -> Result<Verdict> {
        match self {
            Self::GuardrailWorld => {
                guardrail::oracle::judge_reply(&example.meta, &example.prompt, reply)
            }
            Self::Star => star::adherence::judge_reply(&example.meta, reply),
        }
        .with_context(|| format!("example {}", example.id))
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
            let reference = &example.completions[0].text;
            Ok((self.judge(example, reference)?, self.judge(example, reply)?))
        };
        examples.par_iter().zip(replies).map(both).collect()
    }
}
