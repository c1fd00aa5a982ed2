//! `dpo`: direct preference optimization from the model that is also the reference.

use std::path::Path;

use crate::ops::TrainBackend;
use anyhow::{Result, bail};
use burn::module::AutodiffModule;
use serde_json::json;

use crate::backend::{self, Work};
use crate::data::Tokenizer;
use crate::objective::{Objective, dpo::Dpo};
use crate::stage::corpus::{self, Encoding, Split};
use crate::stage::fit::{Defaults, Fit};
use crate::stage::folder::{self, model_dir};
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::measures::Measures;
use crate::stage::preview;
use crate::stage::rows::{RowsSettings, read_examples};
use crate::store::{Begun, Manifest, Progress, hash_file, hash_json, read_json, write_json};
use crate::train::{Dataset, Keep, unit_logps};

/// Tokens of which the reference scores a batch: enough to keep a backend busy.
const REFERENCE_TOKENS: usize = 4096;

pub const KIND: Kind = Kind {
    name: "dpo",
    about: "direct preference optimization on chosen and rejected completions",
    produces: Produces::Model,
    version: 1,
    uses_backend: true,
    read,
};

struct DpoStage {
    fit: Fit,
    data: StageRef,
    objective: Objective,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let defaults = Defaults {
        // TRL's DPOConfig.
        learning_rate: 1e-6,
        best: "accuracy",
        choices: &[
            ("accuracy", Keep::HighestAccuracy),
            ("loss", Keep::LowestLoss),
            ("none", Keep::Last),
        ],
    };
    let fit = Fit::read(keys, &defaults);
    let data = keys.stage("data", &[Produces::Pairs]);
    keys.choice("loss_type", "sigmoid", &["sigmoid"]);
    let objective = Objective::Dpo(Dpo {
        beta: keys.float("beta", 0.1, f64::MIN_POSITIVE..),
        label_smoothing: keys.float("label_smoothing", 0.0, 0.0..0.5),
    });
    Box::new(DpoStage {
        fit,
        data,
        objective,
    })
}

impl Stage for DpoStage {
    fn run(&self, context: &Context) -> Result<()> {
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.fit.model)))?;
        let mut measures = Measures::default();
        let mut scored = |split| -> Result<Option<Dataset>> {
            let Some(mut set) = self.dataset(context, split, &tokenizer, &mut measures)? else {
                return Ok(None);
            };
            self.reference(context, split, &mut set)?;
            Ok(Some(set))
        };
        let Some(train) = scored(Split::Train)? else {
            bail!("{}: there are no pairs to train on", context.label);
        };
        let valid = scored(Split::Valid)?;
        self.fit.run(
            context,
            &tokenizer,
            self.objective,
            (train, valid),
            measures,
        )
    }

    fn preview(&self, context: &Context) -> Result<Option<String>> {
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.fit.model)))?;
        let mut measures = Measures::default();
        let train = self.dataset(context, Split::Train, &tokenizer, &mut measures)?;
        let train = train.unwrap_or_default();
        let preview = preview::training(context, &self.fit, &tokenizer, self.objective, &train)?;
        Ok(Some(preview))
    }
}

impl DpoStage {
    /// The split's pairs, tokenised; nothing where there are none.
    fn dataset(
        &self,
        context: &Context,
        split: Split,
        tokenizer: &Tokenizer,
        measures: &mut Measures,
    ) -> Result<Option<Dataset>> {
        let data = context.input(&self.data);
        let rows = RowsSettings::read(data)?;
        let examples = read_examples(data, split)?;
        if examples.is_empty() {
            return Ok(None);
        }
        let encoding = Encoding {
            max_length: self.fit.max_length,
            group: rows.group(),
            shuffle: rows.shuffle,
        };
        let what = format!("{} ({})", context.label, split.name());
        corpus::dataset(&examples, tokenizer, encoding, &what, measures).map(Some)
    }

    /// Fills in the reference's log-probs of the pairs that are ever read, computed once for each content
    /// of model and pairs, whatever objective or learning rate then uses them.
    fn reference(&self, context: &Context, split: Split, set: &mut Dataset) -> Result<()> {
        let model = context.input(&self.fit.model);
        let data = context.input(&self.data);
        const KIND: &str = "reference-logps";
        let units = match split {
            Split::Train => set.drawn(&self.fit.settings, context.seed),
            _ => (0..set.units.len()).collect(),
        };
        let covers = match units.len() == set.units.len() {
            true => json!("all"),
            false => json!(units),
        };
        let settings = json!({
            "version": 2,
            "covers": covers,
            "model": Manifest::read(model)?.hash,
            "pairs": hash_file(&data.join(format!("{}.jsonl", split.name())))?,
            "max_length": self.fit.max_length,
            "group": set.units,
            "backend": context.backend,
            "bf16": self.fit.bf16(&context.backend),
        });
        let hash = hash_json(&settings);
        let dir = match context.store.begin(KIND, &hash, &context.stop)? {
            Begun::Finished(dir) => dir,
            Begun::Work(work) => {
                let started = std::time::Instant::now();
                let logps = backend::dispatch(
                    &context.backend,
                    Reference {
                        stage: self,
                        context,
                        model,
                        split,
                        set,
                        units,
                    },
                )??;
                write_json(&work.dir().join("logps.json"), &logps)?;
                work.finish(&Manifest {
                    kind: KIND.into(),
                    name: context.label.clone(),
                    hash,
                    inputs: Default::default(),
                    settings: json!({"max_length": self.fit.max_length}),
                    backend: context.backend.clone(),
                    seconds: started.elapsed().as_secs_f64(),
                    created: Manifest::now(),
                })?
            }
        };
        let logps: Vec<Vec<f32>> = read_json(&dir.join("logps.json"))?;
        for (example, reference) in set.examples.iter_mut().zip(logps) {
            example.reference = reference;
        }
        Ok(())
    }
}

struct Reference<'a> {
    stage: &'a DpoStage,
    context: &'a Context,
    model: &'a Path,
    split: Split,
    set: &'a Dataset,
    units: Vec<usize>,
}

impl Work for Reference<'_> {
    type Output = Result<Vec<Vec<f32>>>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
        let (mut model, _) = folder::open::<B>(self.model, device)?;
        // In the policy's precision: the first step's margins are exactly zero.
        model.compute = self
            .stage
            .fit
            .compute::<B::InnerBackend>(self.context, device)?;
        let label = format!("{} reference ({})", self.context.label, self.split.name());
        let progress = Progress::new(&label, self.units.len());
        let logps = unit_logps(
            &model.valid(),
            self.set,
            &self.stage.objective,
            self.set.by_tokens(&self.units, REFERENCE_TOKENS),
            device,
            |done| {
                progress.at(done);
                !self.context.stop.requested()
            },
        );
        progress.finish();
        match logps {
            Some(logps) => Ok(logps),
            None => Err(self.context.stop.check().err().map_or_else(
                || anyhow::anyhow!("scoring ended early"),
                anyhow::Error::from,
            )),
        }
    }
}
