//! What a scoring head is trained with: texts, and the ratings, preferences or classes that it is to say of them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::data::encode::Limits;
use crate::data::render::foreign;
use crate::data::{Example, Rated, Tokenizer};
use crate::model::config::{Problem, ScoreHead};
use crate::model::hf::config_json;
use crate::objective::{Objective, Score};
use crate::stage::artifact::drawn;
use crate::stage::artifact::examples::RowsSettings;
use crate::stage::artifact::folder::model_dir;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::rated_set::RatedSet;
use crate::stage::artifact::scoring_format::{Format, Texts};
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;
use crate::stage::settings::splits::Split;
use crate::stage::settings::trainer::Trainer;
use crate::stage::work::scores::held_out::class_of;
use crate::stage::work::scores::rating_errors::{self, Cluster};
use crate::stage::work::scores::scored;
use crate::stage::work::scores::scored::Reading;
use crate::store::BadInput;
use crate::train::Dataset;

/// Whence a scoring head's examples are, and how they are read.
pub struct HeadData {
    pub trainer: Trainer,
    pub data: StageRef,
    pub targets: Targets,
    /// The first so many of the training split; 0: all.
    pub examples: usize,
}

/// What it learns from.
pub enum Targets {
    Ratings {
        /// Impressions and their weights; all that the training split has where empty.
        weighed: Vec<(String, f64)>,
        one_model_each: bool,
        cluster: Cluster,
    },
    Pairs {
        centre: f64,
    },
    Classes,
}

/// What one model is trained with.
pub struct Sets {
    pub head: ScoreHead,
    pub objective: Objective,
    pub format: Format,
    pub train: Dataset,
    pub valid: Option<Dataset>,
    pub measures: Measures,
}

impl HeadData {
    pub fn tokenizer(&self, context: &Context) -> Result<Tokenizer> {
        Tokenizer::open(&model_dir(context.input(&self.trainer.model)))
    }

    pub fn sets(&self, context: &Context) -> Result<Sets> {
        let data = context.input(&self.data);
        match &self.targets {
            Targets::Ratings { .. } => {
                let train = self.rated(data, Split::Train)?;
                self.of_ratings(context, &train, &self.labels(&train)?)
            }
            Targets::Pairs { centre } => {
                let margin = |example: &Example| -> Result<f32> {
                    match example.meta.get("margin") {
                        None => Ok(f32::NAN),
                        Some(value) => {
                            let margin = value.as_f64().with_context(|| {
                                format!("example {}: margin is no number", example.id)
                            })?;
                            Ok(margin as f32)
                        }
                    }
                };
                let head = ScoreHead::plain(vec!["reward".into()], Problem::Regression);
                let objective = Objective::Score(Score::BradleyTerry { centre: *centre });
                let mut sets =
                    self.of_examples(context, head, objective, Format::of_pairs, margin)?;
                for set in [Some(&mut sets.train), sets.valid.as_mut()]
                    .into_iter()
                    .flatten()
                {
                    settle_margins(set, &mut sets.measures);
                }
                Ok(sets)
            }
            Targets::Classes => {
                let mut classes = BTreeSet::new();
                for example in self.examples_of(data, Split::Train)? {
                    classes.insert(class_of(&example)?.to_owned());
                }
                let classes: Vec<String> = classes.into_iter().collect();
                let objective = Objective::Score(Score::Classification {
                    classes: classes.len(),
                });
                let head = ScoreHead::plain(classes.clone(), Problem::SingleLabelClassification);
                let format = |_: &[Example], _: &Tokenizer| Ok(Format::bare(Texts::Plain));
                self.of_examples(context, head, objective, format, |example| {
                    let class = class_of(example)?;
                    let at = classes.iter().position(|it| it == class);
                    let at = at.with_context(|| {
                        format!(
                            "example {}: class {class:?} is not in the training split, which has {}",
                            example.id,
                            classes.join(", ")
                        )
                    })?;
                    Ok(at as f32)
                })
            }
        }
    }

    /// The impressions to learn, each with its weight.
    pub fn labels(&self, train: &[Rated]) -> Result<Vec<(String, f64)>> {
        let Targets::Ratings { weighed, .. } = &self.targets else {
            return Ok(Vec::new());
        };
        let names: Vec<String> = weighed.iter().map(|(name, _)| name.clone()).collect();
        let names = rating_errors::impressions(train, &names)?;
        let weights = weighed.iter().map(|(_, weight)| *weight);
        Ok(names
            .into_iter()
            .zip(weights.chain(std::iter::repeat(1.0)))
            .collect())
    }

    pub fn rated(&self, data: &Path, split: Split) -> Result<Vec<Rated>> {
        let mut rows = RatedSet::open(data, split)?.rows;
        if split == Split::Train && self.examples > 0 {
            rows.truncate(self.examples);
        }
        Ok(rows)
    }

    pub fn examples_of(&self, data: &Path, split: Split) -> Result<Vec<Example>> {
        let examples = split.examples(data)?;
        match (split, self.examples) {
            (Split::Train, 1..) => examples.take(self.examples).collect(),
            _ => examples.collect(),
        }
    }

    /// Dialogues and their mean ratings. Outputs are trained to be the ratings less the training split's mean, over
    /// its standard deviation: the head keeps both.
    pub fn of_ratings(
        &self,
        context: &Context,
        train: &[Rated],
        labels: &[(String, f64)],
    ) -> Result<Sets> {
        let data = context.input(&self.data);
        let (mut centre, mut scale) = (Vec::new(), Vec::new());
        for (label, _) in labels {
            let given: Vec<f64> = train.iter().filter_map(|row| row.mean(label)).collect();
            ensure!(
                !given.is_empty(),
                "the training split has no rating of {label}"
            );
            let mean = given.iter().sum::<f64>() / given.len() as f64;
            let variance = given.iter().map(|it| (it - mean).powi(2)).sum::<f64>();
            let deviation = (variance / given.len() as f64).sqrt();
            ensure!(
                deviation > 0.0,
                "all ratings of {label} are alike; leave it out of impressions"
            );
            centre.push(mean);
            scale.push(deviation);
        }
        let head = ScoreHead {
            labels: labels.iter().map(|(name, _)| name.clone()).collect(),
            problem: Problem::Regression,
            centre,
            scale,
        };
        let objective = Objective::Score(Score::Regression {
            weights: labels.iter().map(|(_, weight)| *weight).collect(),
        });
        let mut measures = Measures::default();
        let tokenizer = self.tokenizer(context)?;
        let template = foreign(&tokenizer)?;
        let format = Format::bare(match template {
            Some(_) => Texts::Messages,
            None => Texts::Transcript,
        });
        let set = |rows: &[Rated], split: Split, measures: &mut Measures| -> Result<Dataset> {
            let examples = rows.iter().map(|row| scored::of_dialogue(row, template));
            let examples = examples.collect::<Result<Vec<_>>>()?;
            let mut set =
                self.tokenised(context, (&examples, &tokenizer), (split, format), measures)?;
            let targets = rows.iter().flat_map(|row| {
                let each = head.labels.iter().zip(head.centre.iter().zip(&head.scale));
                each.map(|(label, (centre, scale))| match row.mean(label) {
                    Some(mean) => ((mean - centre) / scale) as f32,
                    None => f32::NAN,
                })
            });
            set.examples.set_targets(targets.collect());
            Ok(set)
        };
        let train = set(train, Split::Train, &mut measures)?;
        let valid = set(
            &self.rated(data, Split::Valid)?,
            Split::Valid,
            &mut measures,
        )?;
        let targets = (0..train.examples.len()).flat_map(|at| train.examples.targets(at));
        let missing = targets.filter(|it| it.is_nan()).count();
        measures.note(format!(
            "{} dialogues, {} impressions; {missing} of {} mean ratings are missing and left out",
            train.examples.len(),
            labels.len(),
            train.examples.len() * labels.len()
        ));
        Ok(Sets {
            head,
            objective,
            format,
            train,
            valid: Some(valid),
            measures,
        })
    }

    /// Examples with one target each.
    fn of_examples(
        &self,
        context: &Context,
        head: ScoreHead,
        objective: Objective,
        format: impl Fn(&[Example], &Tokenizer) -> Result<Format>,
        target: impl Fn(&Example) -> Result<f32>,
    ) -> Result<Sets> {
        let data = context.input(&self.data);
        let tokenizer = self.tokenizer(context)?;
        let mut measures = Measures::default();
        let train = self.examples_of(data, Split::Train)?;
        if train.is_empty() {
            let message = format!(
                "@{} has no examples to train on in its train split",
                self.data.name
            );
            return Err(BadInput(message).into());
        }
        let format = format(&train, &tokenizer)?;
        let tokenizer = match format.texts {
            Texts::Messages => tokenizer,
            Texts::Transcript | Texts::Plain => tokenizer.with_template(None),
        };
        let mut set = |examples: Vec<Example>, split: Split| -> Result<Option<Dataset>> {
            if examples.is_empty() {
                return Ok(None);
            }
            let what = format!("{} ({})", context.label, split.name());
            let examples = drawn::all_readable(data, &tokenizer, (examples, &what), &mut measures)?;
            let mut set = self.tokenised(
                context,
                (&examples, &tokenizer),
                (split, format),
                &mut measures,
            )?;
            let targets = examples.iter().map(&target).collect::<Result<_>>()?;
            set.examples.set_targets(targets);
            Ok(Some(set))
        };
        let train = set(train, Split::Train)?.unwrap_or_default();
        let valid = set(self.examples_of(data, Split::Valid)?, Split::Valid)?;
        Ok(Sets {
            head,
            objective,
            format,
            train,
            valid,
            measures,
        })
    }

    fn tokenised(
        &self,
        context: &Context,
        (examples, tokenizer): (&[Example], &Tokenizer),
        (split, format): (Split, Format),
        measures: &mut Measures,
    ) -> Result<Dataset> {
        let source = model_dir(context.input(&self.trainer.model));
        let what = format!("{} ({})", context.label, split.name());
        let config = scored::padded(config_json::read(&source)?, tokenizer);
        let rows = RowsSettings::find(context.input(&self.data))?;
        let limit = format!("max_length {}", self.trainer.max_length);
        let reading = Reading {
            limits: Limits {
                max_length: self.trainer.max_length,
                append_eos: format.append_eos,
            },
            limit: &limit,
            remedy: "raise max_length",
            min_prompt_kept: self.trainer.min_prompt_kept,
        };
        let set = scored::dataset(
            examples,
            tokenizer,
            &config,
            (reading, &what),
            Some(&context.dir),
            measures,
        )
        .context(split.name())?;
        // What a head reads ends before the token that is scored in name only.
        self.trainer.fits(context, &self.trainer.model, &set, 1)?;
        Ok(Dataset {
            shuffle: rows.is_none_or(|rows| rows.shuffle),
            ..set
        })
    }
}

/// Pairs without a margin have one of 0, if any has one; all else have none.
fn settle_margins(set: &mut Dataset, measures: &mut Measures) {
    let all = 0..set.examples.len();
    let margins: Vec<f32> = all
        .flat_map(|at| set.examples.targets(at))
        .copied()
        .collect();
    let missing = margins.iter().filter(|it| it.is_nan()).count();
    if missing == margins.len() {
        set.examples.set_targets(Vec::new());
        return;
    }
    if missing > 0 {
        measures.note(format!(
            "{missing} of {} pairs have no margin, which is taken for 0",
            margins.len()
        ));
    }
    let settled = margins.iter().map(|it| if it.is_nan() { 0.0 } else { *it });
    set.examples.set_targets(settled.collect());
}
