//! What a sampled reply is worth: a reward model's scores, weighed and summed.

use anyhow::{Context as _, Result, ensure};

use crate::data::Prompt;
use crate::eval::dull::Genericness;
use crate::model::config::Problem;
use crate::ops::Ops;
use crate::stage::dullness::Dullness;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Produces};
use crate::stage::measures::Measures;
use crate::stage::scored;
use crate::stage::scorer::Scorer;

/// Settings of a reward.
pub struct RewardSettings {
    pub model: StageRef,
    /// Outputs of the reward model and what each weighs; none named: its only one.
    weights: Vec<(String, f64)>,
    deviations: bool,
    min_correlation: f64,
    /// What a dull reply loses of its reward.
    dull_penalty: f64,
    /// Whose replies say what is dull.
    pub dullness: Option<Dullness>,
}

/// Reads which impressions are summed, and what each weighs.
pub fn weighed(keys: &mut Keys<'_>, doc: &'static str) -> Vec<(String, f64)> {
    let names = keys.doc(doc).strings("impressions", Some(&[]));
    let weights = keys
        .doc("what each of them weighs in the sum; none: 1 each")
        .floats("impression_weights", Some(&[]), ..);
    if !weights.is_empty() && weights.len() != names.len() {
        keys.problem(
            "impression_weights",
            format!(
                "expected one for each of the {} impressions named, found {}",
                names.len(),
                weights.len()
            ),
        );
    }
    let weights = weights.into_iter().chain(std::iter::repeat(1.0));
    names.into_iter().zip(weights).collect()
}

/// A reply as it is scored. An empty one, which cannot be, is worth what the reward model says of a reply without
/// words.
pub fn scorable(reply: &str) -> String {
    match reply.trim().is_empty() {
        true => " .".to_owned(),
        false => reply.to_owned(),
    }
}

impl RewardSettings {
    /// The outputs that are summed, and their weights.
    pub fn weights(&self) -> &[(String, f64)] {
        &self.weights
    }

    /// Reads the keys.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        let model = keys.stage("reward", &[Produces::RewardModel]);
        let weights = weighed(
            keys,
            "what the reward model scores and the reward is made of; may be left out where it scores one thing",
        );
        let dull_penalty = keys
            .doc("what a dull reply loses of its reward; 0: nothing")
            .float("dull_penalty", 0.0, 0.0..);
        let dullness = Dullness::read(keys);
        if dull_penalty > 0.0 && dullness.is_none() {
            keys.problem(
                "dull_penalty",
                "needs a corpus that says which replies are dull",
            );
        }
        Self {
            dull_penalty,
            dullness,
            model,
            weights,
            deviations: keys
                .doc(
                    "points of the scale as raters give them, or standard deviations from the mean rating that the \
                     reward model was trained on",
                )
                .one_of(
                    "reward_units",
                    "points",
                    &[("points", false), ("deviations", true)],
                ),
            min_correlation: keys
                .doc("refuse an impression whose held-out correlation with its raters is lower; 0: refuse none")
                .float("min_correlation", 0.6, 0.0..=1.0),
        }
    }

    /// Refuses ratings that the reward model cannot predict: what is trained on them would follow its errors.
    ///
    /// # Errors
    /// Names each such impression, its correlation and how to go on nevertheless.
    pub fn guard(&self, context: &Context) -> Result<()> {
        let held_out = Measures::read(context.input(&self.model))?;
        // Rewards learned from pairs and classes have an accuracy instead.
        if self.min_correlation == 0.0 || held_out.numbers.contains_key("test_accuracy") {
            return Ok(());
        }
        let known = |name: &str| held_out.numbers.get(&format!("pearson.{name}")).copied();
        let mut used: Vec<(&str, Option<f64>)> = self
            .weights
            .iter()
            .filter(|(_, weight)| *weight != 0.0)
            .map(|(name, _)| (&**name, known(name)))
            .collect();
        if used.is_empty() {
            // The only one that it scores, which need not be named.
            let numbers = held_out.numbers.iter();
            used.extend(numbers.filter_map(|(key, found)| {
                let name = key.strip_prefix("pearson.")?;
                Some((name, Some(*found)))
            }));
        }
        used.retain(|(_, found)| found.is_none_or(|found| found < self.min_correlation));
        let weak: Vec<String> = used
            .iter()
            .map(|(name, found)| {
                let found = found.map_or("is not known".into(), |it| format!("is {it:.2}"));
                format!("{name} {found}")
            })
            .collect();
        ensure!(
            weak.is_empty(),
            "{}: @{} cannot be trusted with what it is to reward: its held-out correlation with the raters \
             ({}) is under min_correlation = {}; reward another impression, train a better reward model, or \
             set min_correlation=0 to go on nevertheless",
            context.label,
            self.model.name,
            weak.join(", "),
            self.min_correlation
        );
        Ok(())
    }

    /// Opens the reward model on a device.
    ///
    /// # Errors
    /// A folder that cannot be read, or outputs that it lacks.
    pub fn open<B: Ops>(&self, context: &Context, device: &B::Device) -> Result<Reward<B>> {
        let scorer = Scorer::open(context.input(&self.model), device)?;
        let place = |name: &str| {
            let labels = scorer.labels();
            labels.iter().position(|it| it == name).with_context(|| {
                format!(
                    "impressions: @{} does not score {name:?}; it scores {}",
                    self.model.name,
                    labels.join(", ")
                )
            })
        };
        let form = match scorer.problem() {
            Problem::Regression => Form::Sum(
                match (&self.weights[..], scorer.labels()) {
                    ([], [_]) => vec![(0, 1.0)],
                    ([], labels) => anyhow::bail!(
                        "impressions: name what is to be rewarded; @{} scores {}",
                        self.model.name,
                        labels.join(", ")
                    ),
                    (weights, _) => weights
                        .iter()
                        .map(|(name, weight)| Ok((place(name)?, *weight)))
                        .collect::<Result<_>>()?,
                }
                .into_iter()
                .map(|(place, weight)| {
                    Term::new(place, weight, self.deviations.then(|| scorer.unit(place)))
                })
                .collect(),
            ),
            Problem::SingleLabelClassification => {
                ensure!(
                    self.weights.is_empty(),
                    "impressions: @{} tells classes apart and is used as it is; leave them out",
                    self.model.name
                );
                Form::Entailment {
                    entails: place("entailment")?,
                    contradicts: place("contradiction")?,
                }
            }
        };
        let penalised = self.dullness.as_ref().filter(|_| self.dull_penalty > 0.0);
        Ok(Reward {
            scorer,
            form,
            dull_penalty: self.dull_penalty,
            generic: penalised.map(|it| it.learn(context)).transpose()?,
        })
    }
}

/// How scores become a reward.
enum Form {
    /// Some outputs for the whole dialogue.
    Sum(Vec<Term>),
    /// Probabilities that a persona's sentence entails or is contradicted by the reply.
    Entailment { entails: usize, contradicts: usize },
}

/// One output's part in a reward.
struct Term {
    place: usize,
    /// What is taken off the score, and what the rest is multiplied by.
    centre: f64,
    weight: f64,
}

impl Term {
    /// `weight` times the score, or times how many of `unit`'s deviations it lies above its mean.
    fn new(place: usize, weight: f64, unit: Option<(f64, f64)>) -> Self {
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
pub struct Reward<B: Ops> {
    scorer: Scorer<B>,
    form: Form,
    dull_penalty: f64,
    /// Tells dull replies, where they are penalised.
    generic: Option<Genericness>,
}

/// The worth of one reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Worth {
    pub reward: f64,
    /// What the reward model says, by its [`labels`](Reward::labels); of classes the mean over the persona's
    /// sentences.
    pub scores: Vec<f64>,
}

impl<B: Ops> Reward<B> {
    /// The name of each score.
    pub fn labels(&self) -> &[String] {
        self.scorer.labels()
    }

    /// The worth of each reply to each prompt, a penalty for dull ones taken off. Nothing once `done`, told how many prompts are scored, says not to
    /// go on.
    ///
    /// # Errors
    /// A reply that cannot be tokenised; a prompt without a persona where sentences of one are compared.
    pub fn worth(
        &self,
        asked: &[(Prompt, Vec<String>)],
        what: &str,
        measures: &mut Measures,
        done: impl FnMut(usize) -> bool,
    ) -> Result<Option<Vec<Vec<Worth>>>> {
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
    ) -> Result<Option<Vec<Vec<Worth>>>> {
        match &self.form {
            Form::Sum(terms) => {
                let examples: Vec<_> = asked
                    .iter()
                    .map(|(prompt, replies)| scored::of_replies(prompt, replies))
                    .collect();
                let scores = self.scorer.scores(&examples, what, measures, done)?;
                let worth = |scores: Vec<f64>| Worth {
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
                        "{what}: a prompt has no persona that its reply could be compared with"
                    );
                    let each = persona
                        .iter()
                        .map(|sentence| scored::of_replies(&scored::premise(sentence), replies));
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
fn entailment(sentences: &[&Vec<f64>], entails: usize, contradicts: usize) -> Worth {
    let most = |place: usize| {
        let of = sentences.iter().map(|scores| scores[place]);
        of.fold(0.0, f64::max)
    };
    let classes = sentences.first().map_or(0, |scores| scores.len());
    let mean = |place: usize| {
        let of = sentences.iter().map(|scores| scores[place]);
        of.sum::<f64>() / sentences.len() as f64
    };
    Worth {
        reward: most(entails) - most(contradicts),
        scores: (0..classes).map(mean).collect(),
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
