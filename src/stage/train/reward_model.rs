//! `reward-model`: a scoring head over a decoder, trained on ratings, on pairs, or on classes.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::stage::artifact::examples::kwargs;
use crate::stage::artifact::folder::model_dir;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, LARGE};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::reward::weighed;
use crate::stage::settings::splits::Split;
use crate::stage::settings::trainer::{Defaults, Trainer};
use crate::stage::work::scores::held_out;
use crate::stage::work::scores::rating_errors::Cluster;
use crate::stage::work::scores::scorer::one_of;
use crate::stage::work::training::head_data::{HeadData, Sets, Targets};
use crate::stage::work::training::preview;
use crate::store::{read_sealed_dir, say, seal_dir, write_sealed};
use crate::train::Keep;

pub const KIND: Kind = Kind {
    name: "reward-model",
    about: "a scoring head over a decoder: ratings, Bradley-Terry on pairs, or classes",
    produces: Produces::RewardModel,
    // 2: the saved folder keeps its source's type of weights and generation_config.json, and names the EOS trained with;
    // an EOS follows plain text in pairs; the folder says how its texts are written.
    // 3: rated dialogues are written by a chat template of the model's own.
    version: 3,
    uses_backend: true,
    modules: modules::TRAINING,
    read,
};

struct RewardModel(HeadData);

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let defaults = Defaults {
        // TRL's RewardConfig.
        learning_rate: 1e-4,
        best: "loss",
        choices: &[
            ("loss", Keep::LowestLoss),
            ("accuracy", Keep::HighestAccuracy),
            ("none", Keep::Last),
        ],
    };
    let targets = keys
        .doc("squared error to ratings, Bradley-Terry on pairs, or cross-entropy of classes")
        .variant(
            "objective",
            "regression",
            &[
                ("regression", ratings),
                ("bradley-terry", |keys| Targets::Pairs {
                    centre: keys
                        .doc("weighs the mean of (chosen + rejected)^2, which keeps rewards around 0")
                        .float("center_rewards_coefficient", 0.0, 0.0..=LARGE),
                }),
                ("classification", |_| Targets::Classes),
            ],
        );
    let trainer = Trainer::read(keys, &defaults);
    let of_ratings = matches!(targets, Targets::Ratings { .. });
    if of_ratings && trainer.settings.keep == Keep::HighestAccuracy {
        keys.problem(
            "metric_for_best_model",
            "ratings have no accuracy; expected loss or none",
        );
    }
    let data = match targets {
        Targets::Ratings { .. } => Produces::Rated,
        Targets::Pairs { .. } => Produces::Pairs,
        Targets::Classes => Produces::Classes,
    };
    Box::new(RewardModel(HeadData {
        trainer,
        data: keys.stage("data", &[data]),
        targets,
        examples: keys
            .doc("the first so many examples of the training split; 0: all")
            .usize("examples", 0, 0..=COUNT),
    }))
}

fn ratings(keys: &mut Keys<'_>) -> Targets {
    let weighed = weighed(
        keys,
        "which ratings are learned; none named: all that there are",
    );
    if let Some((name, weight)) = weighed.iter().find(|(_, weight)| *weight < 0.0) {
        keys.problem(
            "impression_weights",
            format!("expected what an error weighs, at least 0; {name} has {weight}"),
        );
    }
    let one_model_each = keys
        .doc("a model with one output for each impression, rather than one with all")
        .bool("one_model_each", false);
    let nothing = |(_, weight): &(String, f64)| *weight == 0.0;
    let idle = match one_model_each {
        true => weighed.iter().any(nothing),
        false => !weighed.is_empty() && weighed.iter().all(nothing),
    };
    if idle {
        keys.problem(
            "impression_weights",
            "a model whose errors all weigh 0 learns nothing; leave the impression out",
        );
    }
    Targets::Ratings {
        weighed,
        one_model_each,
        cluster: Cluster::read(keys),
    }
}

/// The record that one model of several is finished, in its folder; hidden, so that it goes when all are.
const DONE: &str = ".done.json";

impl Stage for RewardModel {
    fn run(&self, context: &Context) -> Result<()> {
        let mut measures = Measures::default();
        let data = context.input(&self.0.data);
        if let Targets::Ratings {
            one_model_each: true,
            ..
        } = self.0.targets
        {
            let train = self.0.rated(data, Split::Train)?;
            let labels = self.0.labels(&train)?;
            let mut parameters = 0.0;
            for (label, weight) in labels {
                let file_name = Path::new(&label).file_name();
                ensure!(
                    file_name.is_some_and(|name| name == &*label),
                    "impression {label:?} cannot name a folder; rename it, or set one_model_each=false"
                );
                let context = Context {
                    dir: one_of(&context.dir, &label),
                    label: format!("{} {label}", context.label),
                    ..context.clone()
                };
                std::fs::create_dir_all(&context.dir)?;
                // What a killed run has finished, and is whole, is not trained again.
                let done = context.dir.join(DONE);
                if let Err(why) = read_sealed_dir::<Value>(&done) {
                    if done.exists() {
                        say(&format!("{}: {why:#}; it is trained anew", context.label));
                    }
                    let which = format!("impression {label}");
                    let set = self.0.of_ratings(&context, &train, &[(label, weight)]);
                    set.and_then(|set| self.train(&context, set))
                        .context(which)?;
                    let files = seal_dir(&context.dir, DONE)?;
                    write_sealed(&done, &Value::Object(Map::new()), &files)?;
                }
                let one = Measures::read(&context.dir)?;
                parameters += one.numbers.get("parameters").copied().unwrap_or(0.0);
                measures.notes.extend(one.notes);
            }
            measures.numbers.insert("parameters".into(), parameters);
        } else {
            self.train(context, self.0.sets(context)?)?;
            measures = Measures::read(&context.dir)?;
        }
        let trained = (&*context.dir, self.0.trainer.bf16);
        match &self.0.targets {
            Targets::Ratings { cluster, .. } => {
                let rows = self.0.rated(data, Split::Test)?;
                held_out::ratings(context, trained, &rows, *cluster, &mut measures)?;
            }
            Targets::Pairs { .. } => {
                let examples = self.0.examples_of(data, Split::Test)?;
                held_out::pairs(context, trained, &examples, &mut measures)?;
            }
            Targets::Classes => {
                let examples = self.0.examples_of(data, Split::Test)?;
                held_out::classes(context, trained, &examples, &mut measures)?;
            }
        }
        measures.write(&context.dir)
    }

    fn preview(&self, context: &Context) -> Result<Option<String>> {
        let sets = self.0.sets(context)?;
        let tokenizer = self.0.tokenizer(context)?;
        let mut text = preview::training(
            context,
            &self.0.trainer,
            &tokenizer,
            &sets.objective,
            &sets.train,
        )?;
        let labels = sets.head.labels.join(", ");
        text.push_str(&format!(
            "  read at the last real token, outputs: {labels}\n"
        ));
        text.push_str(&preview::remarks(&sets.measures));
        Ok(Some(text))
    }
}

impl RewardModel {
    fn train(&self, context: &Context, sets: Sets) -> Result<()> {
        let tokenizer = self.0.tokenizer(context)?;
        let Sets {
            head,
            objective,
            format,
            train,
            valid,
            measures,
        } = sets;
        if let Err(message) = objective.check() {
            bail!("{message}");
        }
        let sets = (train, valid);
        // Before the rest: a folder that has its weights has this too.
        let given = kwargs(context.input(&self.0.data))?;
        format.write(&model_dir(&context.dir), given)?;
        self.0
            .trainer
            .run(context, &tokenizer, &objective, Some(&head), sets, measures)
    }
}
