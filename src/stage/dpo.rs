//! `dpo`: preference optimization on pairs, from the model that is also the reference where there is one.

use std::fs;
use std::path::Path;

use crate::ops::TrainBackend;
use anyhow::{Context as _, Result, bail, ensure};
use burn::module::AutodiffModule;
use serde_json::json;

use crate::backend::{self, Work};
use crate::data::Tokenizer;
use crate::objective::Objective;
use crate::stage::corpus::Split;
use crate::stage::fit::{Defaults, Fit};
use crate::stage::folder::{self, model_dir};
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::loss_keys;
use crate::stage::measures::Measures;
use crate::stage::preview;
use crate::stage::rows::RowsSettings;
use crate::store::{Begun, Manifest, Progress, hash_file, hash_json, write_atomic};
use crate::train::{Dataset, Keep, unit_logps};

/// Tokens of which the reference scores a batch: enough to keep a backend busy.
const REFERENCE_TOKENS: usize = 4096;

/// The reference's log-probs of all sequences, f32 in little-endian order; NaN where none was needed.
const LOGPS: &str = "logps.f32";

pub const KIND: Kind = Kind {
    name: "dpo",
    about: "preference optimization (DPO, IPO, ...) on chosen and rejected completions",
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
    let objective = loss_keys::read_pairs(keys);
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
            if self.objective.needs_reference() {
                self.reference(context, split, &mut set)?;
            }
            Ok(Some(set))
        };
        let Some(train) = scored(Split::Train)? else {
            bail!("{}: there are no pairs to train on", context.label);
        };
        let valid = scored(Split::Valid)?;
        self.fit.run(
            context,
            &tokenizer,
            &self.objective,
            (train, valid),
            measures,
        )
    }

    fn preview(&self, context: &Context) -> Result<Option<String>> {
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.fit.model)))?;
        let mut measures = Measures::default();
        let train = self.dataset(context, Split::Train, &tokenizer, &mut measures)?;
        let train = train.unwrap_or_default();
        let preview = preview::training(context, &self.fit, &tokenizer, &self.objective, &train)?;
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
        let data = (&self.data, split);
        self.fit
            .dataset(context, data, (None, None), tokenizer, measures)
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
            "ld_alpha": self.objective.tail_weight(),
            "by_dialogue": RowsSettings::read(data)?.by_dialogue,
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
                let bytes: Vec<u8> = logps.iter().flat_map(|logp| logp.to_le_bytes()).collect();
                write_atomic(&work.dir().join(LOGPS), &bytes)?;
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
        let path = dir.join(LOGPS);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (logps, rest) = bytes.as_chunks::<4>();
        ensure!(
            logps.len() == set.examples.sequences() && rest.is_empty(),
            "{}: {} bytes, where {} log-probs have 4 each; remove the folder to have them computed anew",
            path.display(),
            bytes.len(),
            set.examples.sequences()
        );
        let logps = logps.iter().map(|&bytes| f32::from_le_bytes(bytes));
        set.examples.set_reference(logps.collect());
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
    type Output = Result<Vec<f32>>;

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
