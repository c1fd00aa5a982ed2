//! Settings of a reward: which reward model, what of its scores, and whether it can be trusted.

use anyhow::{Context as _, Result, ensure};

use crate::data::Prompt;
use crate::model::config::Problem;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::stage::settings::precision::Bf16;
use crate::stage::settings::reward::RewardSettings;
use crate::stage::work::scores::reply_reward::{Form, ReplyReward, Reward, Term};
use crate::stage::work::scores::scorer::Scorer;
use crate::store::Progress;

impl RewardSettings {
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

    /// The name of each score, and the [worth](ReplyReward) of each reply to each prompt.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Reward::rewards`], and a stop that was asked for.
    pub fn rewards_of(
        &self,
        context: &Context,
        bf16: Bf16,
        asked: &[(Prompt, Vec<String>)],
        measures: &mut Measures,
    ) -> Result<(Vec<String>, Vec<Vec<ReplyReward>>)> {
        let reward = self.open(context, bf16)?;
        let what = format!("{} scoring", context.label);
        let progress = Progress::new(&what, asked.len());
        let worth = reward.rewards(asked, &what, measures, |done| {
            progress.at(done.min(asked.len()));
            !context.stop.requested()
        })?;
        progress.finish();
        context.stop.check()?;
        Ok((reward.labels().to_vec(), worth.unwrap_or_default()))
    }

    /// Opens the reward model.
    ///
    /// # Errors
    /// A folder that cannot be read, or outputs that it lacks.
    pub fn open(&self, context: &Context, bf16: Bf16) -> Result<Reward> {
        let device = bf16.device(&context.backend);
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
