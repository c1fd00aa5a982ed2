//! Settings of a reward: which reward model, what of its scores, and whether it can be trusted.

use anyhow::{Context as _, Result, ensure};

use crate::backend::{self, Work};
use crate::data::Prompt;
use crate::model::config::Problem;
use crate::ops::{Ops, TrainBackend};
use crate::stage::dullness::Dullness;
use crate::stage::keys::{Keys, LARGE, StageRef};
use crate::stage::kind::{Context, Produces};
use crate::stage::measures::Measures;
use crate::stage::precision::Bf16;
use crate::stage::scorer::Scorer;
use crate::stage::worth::{Form, Reward, Term, Worth};
use crate::store::Progress;

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
        .floats("impression_weights", Some(&[]), -LARGE..=LARGE);
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
            .float("dull_penalty", 0.0, 0.0..=LARGE);
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
            "@{} cannot be trusted with what it is to reward: its held-out correlation with the raters \
             ({}) is under min_correlation = {}; reward another impression, train a better reward model, or \
             set min_correlation=0 to go on nevertheless",
            self.model.name,
            weak.join(", "),
            self.min_correlation
        );
        Ok(())
    }

    /// The name of each score, and the [worth](Worth) of each reply to each prompt.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Reward::worth`], and a stop that was asked for.
    pub fn worth_of(
        &self,
        context: &Context,
        bf16: Bf16,
        asked: &[(Prompt, Vec<String>)],
        measures: &mut Measures,
    ) -> Result<(Vec<String>, Vec<Vec<Worth>>)> {
        let work = Scoring {
            settings: self,
            context,
            bf16,
            asked,
            measures,
        };
        backend::dispatch(&context.backend, work)?
    }

    /// Opens the reward model on a device.
    ///
    /// # Errors
    /// A folder that cannot be read, or outputs that it lacks.
    pub fn open<B: Ops>(
        &self,
        context: &Context,
        bf16: Bf16,
        device: &B::Device,
    ) -> Result<Reward<B>> {
        let precision = bf16.on::<B>(context, device)?;
        let scorer = Scorer::open(context.input(&self.model), device)?.frozen(precision);
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

/// The worth of each reply to each prompt, scored on a stage's backend under its progress line; with it the name of each
/// score.
struct Scoring<'a> {
    settings: &'a RewardSettings,
    context: &'a Context,
    bf16: Bf16,
    asked: &'a [(Prompt, Vec<String>)],
    measures: &'a mut Measures,
}

impl Work for Scoring<'_> {
    type Output = Result<(Vec<String>, Vec<Vec<Worth>>)>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
        let context = self.context;
        let reward = self
            .settings
            .open::<B::InnerBackend>(context, self.bf16, device)?;
        let what = format!("{} scoring", context.label);
        let progress = Progress::new(&what, self.asked.len());
        let worth = reward.worth(self.asked, &what, self.measures, |done| {
            progress.at(done.min(self.asked.len()));
            !context.stop.requested()
        })?;
        progress.finish();
        context.stop.check()?;
        Ok((reward.labels().to_vec(), worth.unwrap_or_default()))
    }
}
