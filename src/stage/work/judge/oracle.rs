//! Who knows the truth of an artifact's examples: a world's oracle, or a flow graph.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::data::{Example, Prompt, Verdict, star};
use crate::judge::{Found, Scores};
use crate::store::Manifest;
use crate::world::{guardrail, impression, persona};

/// In the folder of a persona world, says that the oracle can judge replies to its dialogues.
pub const WORLD_FILE: &str = "world.json";

/// An exact judge, by the kind of stage that made the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    GuardrailWorld,
    Star,
    ImpressionWorld,
    PersonaWorld,
}

impl Oracle {
    /// The oracle of an artifact's examples.
    ///
    /// # Errors
    /// Where there is none, or the artifact cannot be read.
    pub fn of(artifact: &Path) -> Result<Self> {
        let manifest = Manifest::read(artifact)?;
        Self::of_kind(&manifest.kind).with_context(|| {
            format!(
                "{}, of kind {}, has no oracle; judge with an endpoint (judge = \"endpoint\")",
                manifest.name, manifest.kind
            )
        })
    }

    /// The oracle of an artifact's examples, where there is one.
    ///
    /// # Errors
    /// When the artifact cannot be read.
    pub fn known(artifact: &Path) -> Result<Option<Self>> {
        Ok(Self::of_kind(&Manifest::read(artifact)?.kind))
    }

    /// The oracle of what stages of that kind make.
    fn of_kind(kind: &str) -> Option<Self> {
        match kind {
            "guardrail-world" => Some(Self::GuardrailWorld),
            "star" => Some(Self::Star),
            "impression-world" => Some(Self::ImpressionWorld),
            "persona-world" => Some(Self::PersonaWorld),
            _ => None,
        }
    }

    /// Judges a reply to a prompt of which `meta` says what is known.
    ///
    /// # Errors
    /// Where that is not what such data have.
    pub fn judge(self, meta: &Map<String, Value>, prompt: &Prompt, reply: &str) -> Result<Verdict> {
        match self {
            Self::GuardrailWorld => guardrail::oracle::judge_reply(meta, prompt, reply),
            Self::Star => star::adherence::judge_reply(meta, reply),
            Self::PersonaWorld => {
                let verdict = persona::oracle::judge_prompt(prompt, reply);
                let share = |holds: bool| f64::from(u8::from(holds)) / 2.0;
                Ok(Verdict {
                    adherent: Some(verdict.relation != persona::oracle::Relation::Contradicting),
                    rule: Some("persona".into()),
                    naturalness: Some(share(verdict.well_formed) + share(verdict.on_topic)),
                    ..Verdict::default()
                })
            }
            Self::ImpressionWorld => bail!(
                "an impression world has no guardrails that a reply could keep; measure its replies with a \
                 stage of kind aif"
            ),
        }
    }

    /// What decides between two replies to a prompt: their verdicts, or in an impression world the sum of their
    /// `weighed` impressions, of all where none is named.
    ///
    /// # Errors
    /// As [`judge`](Self::judge), and for an impression that there is not.
    pub fn find(
        self,
        meta: &Map<String, Value>,
        prompt: &Prompt,
        reply: &str,
        weighed: &[(String, f64)],
    ) -> Result<Found> {
        if self != Self::ImpressionWorld {
            return Ok(Found::Verdict(self.judge(meta, prompt, reply)?));
        }
        let scores = impressions(meta, prompt, reply)?;
        let total = match weighed {
            [] => scores.values().sum(),
            weighed => total(&scores, weighed)?,
        };
        Ok(Found::Points { scores, total })
    }

    /// Every number that is known of a reply to an example.
    ///
    /// # Errors
    /// As [`judge`](Self::judge).
    pub fn scores(self, example: &Example, reply: &str) -> Result<Scores> {
        let truth = |holds: bool| f64::from(u8::from(holds));
        let named = |numbers: &[(&str, Option<f64>)]| -> Scores {
            let known = numbers
                .iter()
                .filter_map(|(name, number)| Some(((*name).to_owned(), (*number)?)));
            known.collect()
        };
        Ok(match self {
            Self::ImpressionWorld => {
                let mut scores = impressions(&example.meta, &example.prompt, reply)?;
                let dull = impression::is_dull(reply);
                scores.insert("dull".into(), truth(dull));
                scores
            }
            Self::PersonaWorld => {
                use persona::oracle::Relation;
                let verdict = persona::oracle::judge_prompt(&example.prompt, reply);
                named(&[
                    (
                        "grounded",
                        Some(truth(verdict.relation == Relation::Grounded)),
                    ),
                    (
                        "contradicting",
                        Some(truth(verdict.relation == Relation::Contradicting)),
                    ),
                    ("on_topic", Some(truth(verdict.on_topic))),
                    ("well_formed", Some(truth(verdict.well_formed))),
                ])
            }
            Self::GuardrailWorld | Self::Star => {
                let verdict = self.judge(&example.meta, &example.prompt, reply)?;
                named(&[
                    ("adherence", verdict.adherent.map(truth)),
                    ("hallucination", verdict.hallucinated.map(truth)),
                    ("naturalness", verdict.naturalness),
                    ("over_conservative", Some(truth(verdict.over_conservative))),
                ])
            }
        })
    }

    /// What a reply with these [`scores`](Self::scores) is truly worth: in an impression world the sum of the
    /// `weighed` impressions, in a persona world 1 where it keeps to its persona's facts and -1 where it contradicts
    /// them. Nothing where no impression is named, or the oracle has no such number.
    ///
    /// # Errors
    /// For an impression that there is not.
    pub fn rewards(self, scores: &Scores, weighed: &[(String, f64)]) -> Result<Option<f64>> {
        Ok(match self {
            Self::ImpressionWorld if !weighed.is_empty() => Some(total(scores, weighed)?),
            Self::PersonaWorld => Some(scores["grounded"] - scores["contradicting"]),
            _ => None,
        })
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
            let judge = |reply: &str| {
                self.judge(&example.meta, &example.prompt, reply)
                    .with_context(|| format!("example {}", example.id))
            };
            Ok((judge(&example.completions[0].text)?, judge(reply)?))
        };
        examples.par_iter().zip(replies).map(both).collect()
    }
}

/// The sum of some impressions, each times its weight.
///
/// # Errors
/// For an impression that there is not.
pub fn total(scores: &Scores, weighed: &[(String, f64)]) -> Result<f64> {
    let mut total = 0.0;
    for (name, weight) in weighed {
        let score = scores.get(name).with_context(|| {
            let known: Vec<&str> = scores.keys().map(String::as_str).collect();
            format!(
                "impressions: the world has no {name:?}; it has {}",
                known.join(", ")
            )
        })?;
        total += weight * score;
    }
    Ok(total)
}

fn impressions(meta: &Map<String, Value>, prompt: &Prompt, reply: &str) -> Result<Scores> {
    Ok(impression::judge_reply(meta, prompt, reply)?.by_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_without_an_oracle_are_not_data_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Oracle::known(dir.path()).is_err(), "there is no manifest");
        let write = |kind: &str| {
            let text = format!(
                r#"{{"kind": "{kind}", "name": "d", "hash": "{}", "inputs": {{}}, "settings": {{}}, "backend": "",
                    "seconds": 0.0, "created": 0}}"#,
                crate::store::hash_bytes(b"d")
            );
            std::fs::write(dir.path().join("artifact.json"), text).unwrap();
        };
        write("preferences");
        assert_eq!(Oracle::known(dir.path()).unwrap(), None);
        assert!(Oracle::of(dir.path()).is_err());
        write("persona-world");
        let known = Oracle::known(dir.path()).unwrap();
        assert_eq!(known, Some(Oracle::PersonaWorld));
        std::fs::write(dir.path().join("artifact.json"), "{").unwrap();
        assert!(Oracle::known(dir.path()).is_err(), "a damaged manifest");
    }
}
