//! What pairs are told apart by: one number for each.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rand::Rng;

use crate::data::{Completion, Example, Role};
use crate::engine::Frozen;
use crate::eval::chrf;
use crate::model::config::Problem;
use crate::stage::artifact::drawn;
use crate::stage::artifact::folder::LanguageModel;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::stage::settings::keys::{Keys, SIZE, StageRef};
use crate::stage::settings::lengths;
use crate::stage::settings::precision::Bf16;
use crate::stage::settings::produces::Produces;
use crate::stage::settings::reward::RewardSettings;
use crate::stage::settings::splits::Group;
use crate::stage::work::scores::reply_reward::scorable;
use crate::stage::work::scores::scorer;
use crate::stage::work::streams;
use crate::stage::work::tokens::dataset::{self, Encoding};
use crate::stage::work::tokens::limits;
use crate::store::{BadInput, Progress};

/// Pairs scored at once.
const BATCH: usize = 8;

pub enum Criterion {
    /// The summed log-prob of the chosen reply less that of the rejected one.
    Margin(Margin),
    /// How like the rejected reply is to the chosen one ([`chrf`]).
    Likeness,
    /// How far the persona is kept.
    Nli(Nli),
    /// A number drawn for each pair.
    Random,
}

pub struct Margin {
    model: StageRef,
    max_length: usize,
    min_prompt_kept: f64,
    bf16: Bf16,
}

pub struct Nli {
    classifier: RewardSettings,
    of: Of,
    bf16: Bf16,
}

/// Which reply's consistency counts.
#[derive(Clone, Copy)]
enum Of {
    Rejected,
    /// The chosen reply's less the rejected one's.
    Difference,
}

impl Criterion {
    /// Reads the keys of a margin.
    pub fn read_margin(keys: &mut Keys<'_>) -> Self {
        Self::Margin(Margin {
            model: keys
                .doc("whose log-probs: the reference that will be trained from")
                .stage("model", &[Produces::Model]),
            max_length: keys.usize("max_length", 1024, 2..=SIZE),
            min_prompt_kept: lengths::read_kept(keys),
            bf16: Bf16::read(keys),
        })
    }

    /// Reads the keys of a classifier.
    pub fn read_nli(keys: &mut Keys<'_>) -> Self {
        let classifier = keys
            .doc("tells entailment, neutral and contradiction apart, as persona-nli's does")
            .stage("classifier", &[Produces::RewardModel]);
        Self::Nli(Nli {
            classifier: RewardSettings::of(classifier),
            of: keys
                .doc(
                    "whose largest probability of entailment by a sentence of the true persona, less the largest of \
                     contradiction: the rejected reply's, or the chosen one's less that",
                )
                .one_of(
                    "of",
                    "rejected",
                    &[("rejected", Of::Rejected), ("difference", Of::Difference)],
                ),
            bf16: Bf16::read(keys),
        })
    }

    /// What measures call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Margin(_) => "margin",
            Self::Likeness => "likeness",
            Self::Nli(_) => "nli",
            Self::Random => "random",
        }
    }

    /// The number of each pair; `data` is the artifact that they lie in.
    ///
    /// # Errors
    /// Pairs without two sides; and whatever keeps a model from scoring them.
    pub fn values(
        &self,
        context: &Context,
        data: &Path,
        pairs: &[Example],
        measures: &mut Measures,
    ) -> Result<Vec<f64>> {
        let values: Vec<f64> = match self {
            Self::Margin(margin) => margin.values(context, data, pairs, measures)?,
            Self::Likeness => {
                let likeness = |pair| {
                    let [chosen, rejected] = sides(pair)?;
                    Ok(chrf(&rejected.text, &chosen.text))
                };
                pairs.iter().map(likeness).collect::<Result<_>>()?
            }
            Self::Nli(nli) => nli.values(context, pairs, measures)?,
            Self::Random => {
                let mut rng = streams::seeded(context.seed, "filter");
                pairs.iter().map(|_| rng.random()).collect()
            }
        };
        for (pair, value) in pairs.iter().zip(&values) {
            ensure!(
                !value.is_nan(),
                "example {}: its {} is not a number",
                pair.id,
                self.name()
            );
        }
        Ok(values)
    }
}

/// The chosen and the rejected reply.
fn sides(pair: &Example) -> Result<[&Completion; 2]> {
    let [chosen, rejected] = places(pair)?;
    Ok([&pair.completions[chosen], &pair.completions[rejected]])
}

/// Their places.
fn places(pair: &Example) -> Result<[usize; 2]> {
    let place = |role: &Role| pair.completions.iter().position(|it| it.role == *role);
    let found = place(&Role::Chosen).zip(place(&Role::Rejected));
    let (chosen, rejected) =
        found.with_context(|| format!("example {}: no chosen and rejected reply", pair.id))?;
    Ok([chosen, rejected])
}

impl Margin {
    fn values(
        &self,
        context: &Context,
        data: &Path,
        pairs: &[Example],
        measures: &mut Measures,
    ) -> Result<Vec<f64>> {
        let LanguageModel {
            dir,
            config,
            tokenizer,
        } = LanguageModel::read(context.input(&self.model))?;
        let places = pairs.iter().map(places).collect::<Result<Vec<_>>>()?;
        let read = (pairs.to_vec(), &*context.label);
        let read = drawn::all_readable(data, &tokenizer, read, measures)?;
        let set = dataset::dataset(
            read.into_iter().map(Ok),
            &tokenizer,
            Encoding {
                max_length: self.max_length,
                min_prompt_kept: self.min_prompt_kept,
                group: Group::None,
                shuffle: false,
            },
            &context.label,
            &context.dir,
            measures,
        )?;
        let longest = set.examples.longest();
        limits::check(&self.model.name, &config, longest, self.max_length)?;
        let model = Frozen::open(self.bf16.device(&context.backend), &dir)?;
        let progress = Progress::new(&context.label, pairs.len());
        let logps = model.logps(&set, BATCH, |done| {
            progress.at(done.min(pairs.len()));
            !context.stop.requested()
        });
        progress.finish();
        context.stop.check()?;
        let logps = logps.context("scoring ended early")?;
        let margin = |(logps, [chosen, rejected]): (Vec<f32>, [usize; 2])| {
            f64::from(logps[chosen]) - f64::from(logps[rejected])
        };
        Ok(logps.into_iter().zip(places).map(margin).collect())
    }
}

impl Nli {
    fn values(
        &self,
        context: &Context,
        pairs: &[Example],
        measures: &mut Measures,
    ) -> Result<Vec<f64>> {
        let name = &self.classifier.model.name;
        let (_, problem) = scorer::heads(context.input(&self.classifier.model))?;
        if problem != Problem::SingleLabelClassification {
            let message = format!(
                "classifier: @{name} gives ratings, where one that tells entailment and contradiction apart is wanted \
                 (reward-model with objective = \"classification\")"
            );
            return Err(BadInput(message).into());
        }
        let mut asked = Vec::with_capacity(pairs.len());
        for pair in pairs {
            if pair.prompt.persona().is_empty() {
                let message = format!(
                    "by: \"nli\" compares replies with personas, but the prompt of example {} has none",
                    pair.id
                );
                return Err(BadInput(message).into());
            }
            let replies = sides(pair)?.map(|it| scorable(&it.text));
            asked.push((pair.prompt.clone(), replies.to_vec()));
        }
        let (_, worth) = self
            .classifier
            .rewards_of(context, self.bf16, &asked, measures)?;
        let value = |[chosen, rejected]: [f64; 2]| match self.of {
            Of::Rejected => rejected,
            Of::Difference => chosen - rejected,
        };
        let worth = worth.iter().map(|it| value([it[0].reward, it[1].reward]));
        Ok(worth.collect())
    }
}
