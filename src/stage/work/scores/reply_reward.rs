//! The worth of a reply: a reward model's scores, turned into one number.

use anyhow::{Result, ensure};

use crate::data::{Prompt, template};
use crate::eval::dull::Genericness;
use crate::stage::artifact::measures::Measures;
use crate::stage::work::scores::scored;
use crate::stage::work::scores::scorer::Scorer;

/// How scores become a reward.
pub enum Form {
    /// Some outputs for the whole dialogue.
    Sum(Vec<Term>),
    /// Probabilities that a persona's sentence entails or is contradicted by the reply.
    Entailment { entails: usize, contradicts: usize },
}

/// One output's part in a reward.
pub struct Term {
    place: usize,
    /// What is taken off the score, and what the rest is multiplied by.
    centre: f64,
    weight: f64,
}

impl Term {
    /// `weight` times the score, or times how many of `unit`'s deviations it lies above its mean.
    pub fn new(place: usize, weight: f64, unit: Option<(f64, f64)>) -> Self {
        let (centre, deviation) = unit.unwrap_or((0.0, 1.0));
        Self {
            place,
            centre,
            weight: weight / deviation,
        }
    }

    fn of(&self, scores: &[f64]) -> f64 {
        self.weight * (scores[self.place] - self.centre)
    }
}

/// A reward model, ready to score replies.
pub struct Reward {
    pub scorer: Scorer,
    pub form: Form,
    pub dull_penalty: f64,
    /// Tells dull replies, where they are penalised.
    pub generic: Option<Genericness>,
}

/// The worth of one reply.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplyReward {
    pub reward: f64,
    /// What the reward model says, by its [`labels`](Reward::labels); of classes the mean over the persona's
    /// sentences.
    pub scores: Vec<f64>,
}

impl Reward {
    /// The name of each score.
    pub fn labels(&self) -> &[String] {
        self.scorer.labels()
    }

    /// The worth of each reply to each prompt, a penalty for dull ones taken off. Nothing once `done`, told how many
    /// prompts are scored, says not to go on.
    ///
    /// # Errors
    /// A reply that cannot be tokenised; a prompt without a persona where sentences of one are compared.
    pub fn rewards(
        &self,
        asked: &[(Prompt, Vec<String>)],
        what: &str,
        measures: &mut Measures,
        done: impl FnMut(usize) -> bool,
    ) -> Result<Option<Vec<Vec<ReplyReward>>>> {
        let mut worth = self.unpenalised(asked, what, measures, done)?;
        if let (Some(generic), Some(worth)) = (&self.generic, &mut worth) {
            let replies = asked.iter().flat_map(|(_, replies)| replies);
            for (worth, reply) in worth.iter_mut().flatten().zip(replies) {
                if generic.dull(reply) {
                    worth.reward -= self.dull_penalty;
                }
            }
        }
        Ok(worth)
    }

    fn unpenalised(
        &self,
        asked: &[(Prompt, Vec<String>)],
        what: &str,
        measures: &mut Measures,
        done: impl FnMut(usize) -> bool,
    ) -> Result<Option<Vec<Vec<ReplyReward>>>> {
        match &self.form {
            Form::Sum(terms) => {
                let examples: Vec<_> = asked
                    .iter()
                    .map(|(prompt, replies)| self.scorer.replies(prompt, replies))
                    .collect();
                let scores = self.scorer.scores(&examples, what, measures, done)?;
                let worth = |scores: Vec<f64>| ReplyReward {
                    reward: terms.iter().map(|term| term.of(&scores)).sum(),
                    scores,
                };
                Ok(scores.map(|scores| {
                    let mut scores = scores.into_iter().map(worth);
                    let replies = asked.iter().map(|(_, replies)| replies.len());
                    replies.map(|k| scores.by_ref().take(k).collect()).collect()
                }))
            }
            Form::Entailment {
                entails,
                contradicts,
            } => {
                let mut examples = Vec::new();
                let mut sentences = Vec::new();
                for (prompt, replies) in asked {
                    let persona = prompt.persona();
                    ensure!(
                        !persona.is_empty(),
                        "a prompt has no persona that its reply could be compared with"
                    );
                    let each = persona
                        .iter()
                        .map(|sentence| scored::of_replies(&template::premise(sentence), replies));
                    sentences.push((persona.len(), replies.len()));
                    examples.extend(each);
                }
                let Some(scores) = self.scorer.scores(&examples, what, measures, done)? else {
                    return Ok(None);
                };
                let mut scores = &scores[..];
                let mut worth = Vec::with_capacity(asked.len());
                for (persona, replies) in sentences {
                    let (own, rest) = scores.split_at(persona * replies);
                    scores = rest;
                    let of_reply = |reply: usize| {
                        let own: Vec<&Vec<f64>> = own.iter().skip(reply).step_by(replies).collect();
                        entailment(&own, *entails, *contradicts)
                    };
                    worth.push((0..replies).map(of_reply).collect());
                }
                Ok(Some(worth))
            }
        }
    }
}

/// The worth of a reply by its classes against each sentence of a persona: the largest probability that it is
/// entailed less the largest that it contradicts. One sentence decides either way, as in Dialogue-NLI.
fn entailment(sentences: &[&Vec<f64>], entails: usize, contradicts: usize) -> ReplyReward {
    let most = |place: usize| {
        let of = sentences.iter().map(|scores| scores[place]);
        of.fold(0.0, f64::max)
    };
    let classes = sentences.first().map_or(0, |scores| scores.len());
    let mean = |place: usize| {
        let of = sentences.iter().map(|scores| scores[place]);
        of.sum::<f64>() / sentences.len() as f64
    };
    ReplyReward {
        reward: most(entails) - most(contradicts),
        scores: (0..classes).map(mean).collect(),
    }
}

/// A reply as it is scored. An empty one, which cannot be, is worth what the reward model says of a reply without
/// words.
pub fn scorable(reply: &str) -> String {
    match reply.trim().is_empty() {
        true => " .".to_owned(),
        false => reply.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reward_is_in_points_or_in_deviations() {
        let scores = [7.0, 3.0];
        assert_eq!(Term::new(1, 2.0, None).of(&scores), 6.0);
        assert_eq!(Term::new(1, 2.0, Some((5.0, 0.5))).of(&scores), -8.0);
    }

    #[test]
    fn one_sentence_of_a_persona_decides() {
        let neutral = vec![0.1, 0.1, 0.8];
        let against = vec![0.9, 0.0, 0.1];
        let entailed = vec![0.0, 0.7, 0.3];
        let worth = |sentences: &[&Vec<f64>]| entailment(sentences, 1, 0).reward;
        assert!((worth(&[&neutral, &entailed]) - 0.6).abs() < 1e-12);
        assert!((worth(&[&neutral, &against, &neutral]) + 0.8).abs() < 1e-12);
        assert_eq!(worth(&[&neutral, &neutral]), 0.0);
        let mean = entailment(&[&neutral, &against], 1, 0).scores;
        assert!((mean[0] - 0.5).abs() < 1e-12);
    }
}
