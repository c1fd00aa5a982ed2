//! What training on preferences is, whatever the objective: the reference's log-probs beforehand, then the
//! run.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::data::Tokenizer;
use crate::engine::Frozen;
use crate::model::hf::{self, BaseDtype};
use crate::objective::{Objective, Unpaired};
use crate::stage::artifact::examples::{RowsSettings, Take};
use crate::stage::artifact::folder::{LanguageModel, model_dir, same_tokenizer};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{Keys, StageRef};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::Split;
use crate::stage::settings::trainer::{Defaults, Trainer};
use crate::stage::work::training::preview;
use crate::store::{Begun, Manifest, Progress, hash_bytes, hash_file, hash_json, write_atomic};
use crate::train::{Dataset, ExamplesWriter, Keep, mismatch};

/// Tokens of which the reference scores a batch: enough to keep a backend busy.
const REFERENCE_TOKENS: usize = 4096;

/// The reference's log-probs of all sequences, f32 in little-endian order; NaN where none was needed.
const LOGPS: &str = "logps.f32";

/// A stage that trains a model on preferences.
pub struct Prefer {
    trainer: Trainer,
    data: StageRef,
    /// The reference, where it is not the model that is trained from.
    reference: Option<StageRef>,
    objective: Objective,
}

impl Prefer {
    /// Reads the keys: the objective's by `objective`, and which of the weights in `best` are kept, the first by default.
    pub fn read(
        keys: &mut Keys<'_>,
        data: &[Produces],
        best: &'static [(&'static str, Keep)],
        objective: impl FnOnce(&mut Keys<'_>) -> Objective,
    ) -> Self {
        let defaults = Defaults {
            // TRL's DPOConfig and KTOConfig.
            learning_rate: 1e-6,
            best: best[0].0,
            choices: best,
        };
        let trainer = Trainer::read(keys, &defaults);
        let data = keys.stage("data", data);
        let objective = objective(keys);
        let reference = keys
            .doc("the model that training is held to; where left out, the one it starts from")
            .optional_stage("reference", &[Produces::Model]);
        if reference.is_some() && !objective.needs_reference() {
            keys.problem("reference", "the loss reads no reference; leave it out");
        }
        Self {
            trainer,
            data,
            reference,
            objective,
        }
    }
}

impl Stage for Prefer {
    fn run(&self, context: &Context) -> Result<()> {
        let tokenizer = self.tokenizer(context)?;
        let mut measures = Measures::default();
        let mut scored = |split| -> Result<Option<Dataset>> {
            let Some(mut set) = self.dataset(context, split, &tokenizer, &mut measures)? else {
                return Ok(None);
            };
            if self.objective.needs_reference() {
                self.reference(context, split, &tokenizer, &mut set)?;
            }
            Ok(Some(set))
        };
        let Some(train) = scored(Split::Train)? else {
            bail!("there are no completions to train on");
        };
        let valid = match self.trainer.validates {
            true => scored(Split::Valid)?,
            false => None,
        };
        let objective = self.counted(&train, &mut measures);
        self.trainer.run(
            context,
            &tokenizer,
            &objective,
            None,
            (train, valid),
            measures,
        )
    }

    fn preview(&self, context: &Context) -> Result<Option<String>> {
        let tokenizer = self.tokenizer(context)?;
        let mut measures = Measures::default();
        let train = self.dataset(context, Split::Train, &tokenizer, &mut measures)?;
        let train = train.unwrap_or_default();
        let mut text =
            preview::training(context, &self.trainer, &tokenizer, &self.objective, &train)?;
        self.counted(&train, &mut measures);
        text.push_str(&preview::remarks(&measures));
        Ok(Some(text))
    }
}

impl Prefer {
    /// The tokenizer of the model that is trained, which the reference must have too.
    fn tokenizer(&self, context: &Context) -> Result<Tokenizer> {
        if let Some(reference) = &self.reference {
            same_tokenizer(context, &self.trainer.model, reference)?;
        }
        Tokenizer::open(&model_dir(context.input(&self.trainer.model)))
    }

    /// The split's examples, tokenised; nothing where there are none.
    fn dataset(
        &self,
        context: &Context,
        split: Split,
        tokenizer: &Tokenizer,
        measures: &mut Measures,
    ) -> Result<Option<Dataset>> {
        let take = match self.objective {
            Objective::Unpaired(_) => Take::Labelled,
            _ => Take::All,
        };
        let data = (&self.data, split, take);
        let set = self
            .trainer
            .dataset(context, data, (None, None), tokenizer, measures)?;
        let Some(mut set) = set else { return Ok(None) };
        let Objective::Unpaired(Unpaired::Kto(_)) = self.objective else {
            self.fits(context, &set)?;
            return Ok(Some(set));
        };
        let what = format!("{} ({})", context.label, split.name());
        let (examples, cut) = mismatch::with_mismatches(
            &set.examples,
            context.seed,
            self.trainer.max_length,
            ExamplesWriter::files(&context.dir)?,
        )
        .context(split.name())?;
        if cut > 0 {
            measures.note(format!(
                "{what}: max_length {} cut {cut} mismatched completions",
                self.trainer.max_length
            ));
        }
        set.examples = examples;
        self.fits(context, &set)?;
        Ok(Some(set))
    }

    /// Refuses what either model cannot read.
    fn fits(&self, context: &Context, set: &Dataset) -> Result<()> {
        let reference = self.reference.as_ref();
        for model in [Some(&self.trainer.model), reference].into_iter().flatten() {
            self.trainer.fits(context, model, set, 0)?;
        }
        Ok(())
    }

    /// The objective with what it takes from the number of examples of each label.
    fn counted(&self, train: &Dataset, measures: &mut Measures) -> Objective {
        let labels = (0..train.examples.len()).filter_map(|at| train.examples.desirable(at));
        let (desirable, undesirable): (Vec<bool>, Vec<bool>) = labels.partition(|&label| label);
        let (desirable, undesirable) = (desirable.len(), undesirable.len());
        let objective = self.objective.clone().with_counts(desirable, undesirable);
        if let Objective::Unpaired(unpaired) = &objective {
            let mut note =
                format!("{desirable} desirable and {undesirable} undesirable completions");
            if let Unpaired::Kto(kto) = unpaired {
                let (up, down) = kto.weights();
                note.push_str(&format!(
                    ": desirable_weight {up:.4}, undesirable_weight {down:.4}"
                ));
                measures.numbers.insert("desirable_weight".into(), up);
                measures.numbers.insert("undesirable_weight".into(), down);
            }
            measures.note(note);
        }
        objective
    }

    /// Fills in the reference's log-probs of the pairs that are ever read, computed once for each content
    /// of model and pairs, whatever objective or learning rate then uses them.
    fn reference(
        &self,
        context: &Context,
        split: Split,
        tokenizer: &Tokenizer,
        set: &mut Dataset,
    ) -> Result<()> {
        let model = self.reference.as_ref().unwrap_or(&self.trainer.model);
        let model = context.input(model);
        let data = context.input(&self.data);
        const KIND: &str = "reference-logps";
        let units = match split {
            Split::Train => set.drawn(&self.trainer.settings, context.seed),
            _ => (0..set.units.len()).collect(),
        };
        let covers = match units.len() == set.units.len() {
            true => json!("all"),
            false => json!(units),
        };
        let mut settings = json!({
            // 4: rendered text has no other special tokens, and both sides of a pair see the same of their prompt.
            "version": 4,
            "modules": modules::SCORING,
            // What is scored: pairs, labelled completions, or these and mismatched ones that the seed draws.
            "scored": match &self.objective {
                Objective::Unpaired(Unpaired::Kto(_)) => json!({"mismatched": context.seed}),
                Objective::Unpaired(_) => json!("labelled"),
                _ => json!({"ld_alpha": self.objective.tail_weight()}),
            },
            "covers": covers,
            "model": Manifest::read(model)?.hash,
            // What writes the dialogues, which is the policy's and need not be the reference's.
            "template": tokenizer.template().ok().flatten().map(|it| hash_bytes(it.source().as_bytes())),
            "pairs": hash_file(&data.join(format!("{}.jsonl", split.name())))?,
            "max_length": self.trainer.max_length,
            "by_dialogue": RowsSettings::read(data)?.by_dialogue,
            "backend": context.backend,
            "bf16": self.trainer.bf16(&context.backend),
        });
        if let Some(dtype) = self.held(context)? {
            settings["base_dtype"] = json!(dtype.name());
        }
        let hash = hash_json(&settings);
        let dir = match context.store.begin(KIND, &hash, &context.stop)? {
            Begun::Finished(dir) => dir,
            Begun::Work(work) => {
                let started = std::time::Instant::now();
                let logps = self.score(context, model, split, (set, &units))?;
                let bytes: Vec<u8> = logps.iter().flat_map(|logp| logp.to_le_bytes()).collect();
                write_atomic(&work.dir().join(LOGPS), &bytes)?;
                work.finish(&Manifest {
                    kind: KIND.into(),
                    name: context.label.clone(),
                    hash,
                    inputs: Default::default(),
                    settings: json!({"max_length": self.trainer.max_length}),
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

    /// What the reference is held in where it is the model that is trained from, and that in fewer bits than f32.
    fn held(&self, context: &Context) -> Result<Option<BaseDtype>> {
        let (None, Some(lora)) = (&self.reference, &self.trainer.lora) else {
            return Ok(None);
        };
        let dir = model_dir(context.input(&self.trainer.model));
        let (config, checkpoint) = hf::open(&dir)?;
        let adapted = lora.of(&dir, (&config, &checkpoint), false)?;
        Ok(Some(adapted.base_dtype).filter(|dtype| *dtype != BaseDtype::F32))
    }

    /// Scores those units with a reference, in the policy's precision: the first step's margins are exactly zero.
    fn score(
        &self,
        context: &Context,
        reference: &Path,
        split: Split,
        (set, units): (&Dataset, &[usize]),
    ) -> Result<Vec<f32>> {
        let LanguageModel { dir, .. } = LanguageModel::read(reference)?;
        let device = self.trainer.bf16.device(&context.backend);
        let reference = match self.held(context)? {
            Some(dtype) => Frozen::open_held(device, &dir, dtype)?,
            None => Frozen::open(device, &dir)?,
        };
        let label = format!("{} reference ({})", context.label, split.name());
        let progress = Progress::new(&label, units.len());
        let batches: Vec<_> = set.by_tokens(units, REFERENCE_TOKENS).collect();
        let logps = reference.values(set, &self.objective, &batches, |done| {
            progress.at(done);
            !context.stop.requested()
        });
        progress.finish();
        context.stop.check()?;
        logps.context("scoring ended early")
    }
}
