//! What every training stage shares: its settings by TRL's names, and the run from folder to folder.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::data::Tokenizer;
use crate::engine::{self, Device, Start, Trained};
use crate::model::config::ScoreHead;
use crate::model::decoder::Precision;
use crate::model::hf::config_json;
use crate::objective::Objective;
use crate::stage::artifact::drawn;
use crate::stage::artifact::examples::{RowsSettings, Take};
use crate::stage::artifact::folder::{self, LanguageModel};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::settings::trainer::Trainer;
use crate::stage::work::scores::scored;
use crate::stage::work::tokens::dataset::{self, Encoding};
use crate::stage::work::tokens::limits;
use crate::stage::work::training::memory;
use crate::store::{BadInput, say};
use crate::train::checkpoint;
use crate::train::{Dataset, Evaluation, Job, Keep, Outcome};

impl Trainer {
    /// Whether the model is computed in bf16 on the backend of that name.
    pub fn bf16(&self, backend: &str) -> bool {
        self.bf16.planned(backend) == Precision::Bf16
    }

    /// On what the model is trained, and how it is computed.
    pub fn device<'a>(&self, context: &'a Context) -> Device<'a> {
        let mut device = self.bf16.device(&context.backend);
        device.compute.recompute = self.gradient_checkpointing;
        device
    }

    /// A split of `data`, tokenised; nothing where it has no such split or the split is empty. Rows say
    /// themselves how they are drawn; dialogues are kept whole and shuffled; what is given here decides
    /// before either.
    pub fn dataset(
        &self,
        context: &Context,
        (data, split, take): (&StageRef, Split, Take),
        drawn: (Option<Group>, Option<bool>),
        tokenizer: &Tokenizer,
        measures: &mut Measures,
    ) -> Result<Option<Dataset>> {
        let data = context.input(data);
        let rows = RowsSettings::find(data)?;
        let (group, shuffle) = rows.map_or((Group::Dialogue, true), |r| (r.group(), r.shuffle));
        let encoding = Encoding {
            max_length: self.max_length,
            min_prompt_kept: self.min_prompt_kept,
            group: drawn.0.unwrap_or(group),
            shuffle: drawn.1.unwrap_or(shuffle),
        };
        let what = format!("{} ({})", context.label, split.name());
        let examples = (split.examples(data)?, &*what);
        let examples = take.of_all(drawn::readable(data, tokenizer, examples, measures)?);
        let set = dataset::dataset(examples, tokenizer, encoding, &what, &context.dir, measures)
            .context(split.name())?;
        Ok((!set.examples.is_empty()).then_some(set))
    }

    /// Says that the last weights are kept where the best cannot be told: their metric needs a validation split.
    ///
    /// # Errors
    /// When the run should stop early by it.
    fn settle_best(
        &self,
        context: &Context,
        validated: bool,
        measures: &mut Measures,
    ) -> Result<()> {
        let metric = match self.settings.keep {
            _ if validated => return Ok(()),
            Keep::BestLoss => "loss",
            Keep::BestAccuracy => "accuracy",
            Keep::Last | Keep::BestTrainLoss => return Ok(()),
        };
        if self.settings.watch.early_stopping_patience > 0 {
            return Err(BadInput(format!(
                "early_stopping_patience with metric_for_best_model = {metric:?} needs a validation split, and the data \
                 have none, or an empty one; leave the key out"
            ))
            .into());
        }
        let note = format!(
            "metric_for_best_model = {metric:?} needs a validation split, and the data have none, or an empty one: the \
             last weights are kept"
        );
        say(&format!("{}: {note}", context.label));
        measures.note(note);
        Ok(())
    }

    /// Refuses a set with longer sequences than the model of `model` reads, all of whose tokens but `in_name` are
    /// read.
    ///
    /// # Errors
    /// See [`limits::check`].
    pub fn fits(
        &self,
        context: &Context,
        model: &StageRef,
        set: &Dataset,
        in_name: usize,
    ) -> Result<()> {
        let config = config_json::read(&folder::model_dir(context.input(model)))?;
        let longest = set.examples.longest().saturating_sub(in_name);
        limits::check(&model.name, &config, longest, self.max_length)
    }

    /// Trains the input model, with a new scoring head if one is given, unless it has been already, and
    /// writes the kept weights as a model folder beside `metrics.jsonl`.
    pub fn run(
        &self,
        context: &Context,
        tokenizer: &Tokenizer,
        objective: &Objective,
        head: Option<&ScoreHead>,
        (train, valid): (Dataset, Option<Dataset>),
        mut measures: Measures,
    ) -> Result<()> {
        let valid = valid.filter(|_| self.validates);
        if train.units.is_empty() {
            return Err(BadInput("its data have nothing to train on".into()).into());
        }
        self.settle_best(context, valid.is_some(), &mut measures)?;
        let LanguageModel { dir, config, .. } = LanguageModel::read(context.input(&self.model))?;
        let pad = scored::padded(config, tokenizer).pad;
        let job = Job {
            label: &context.label,
            settings: &self.settings,
            objective,
            train: &train,
            valid: valid.as_ref(),
            dir: &context.dir,
            seed: context.seed,
            stop: &context.stop,
        };
        let device = self.device(context);
        let start = Start {
            source: &dir,
            head: head.map(|head| (head, pad)),
            lora: self.lora.as_ref(),
        };
        let outcome = engine::train(device, start, &job)?;
        memory::note_peak(&mut measures);
        if outcome.steps < outcome.planned {
            measures.note(format!(
                "stopped early after step {} of {}: early_stopping_patience = {}",
                outcome.steps, outcome.planned, self.settings.watch.early_stopping_patience
            ));
        }
        let bf16 = device.compute.precision == Precision::Bf16;
        measures.numbers.extend(numbers(&outcome, objective, bf16));
        let card = format!(
            "# {}\n\nTrained with Rapport: {} steps, weights of step {} kept, {} parameters, seed {}. \
             The settings are in `artifact.json` beside this folder.\n",
            context.label, outcome.steps, outcome.kept_step, outcome.parameters, context.seed
        );
        if let Some(adapted) = &outcome.model.adapted {
            folder::note_adapter(&mut measures, adapted, outcome.trained);
        }
        folder::write_trained(
            &context.dir,
            &outcome.model,
            tokenizer,
            (&dir, self.dtype),
            &card,
        )?;
        measures.write(&context.dir)?;
        checkpoint::discard(&context.dir)
    }
}

/// What a run came to, by name.
fn numbers(outcome: &Outcome<Trained>, objective: &Objective, bf16: bool) -> BTreeMap<String, f64> {
    let cost = outcome.cost;
    let mut numbers = BTreeMap::from([
        ("parameters", outcome.parameters as f64),
        ("bf16", f64::from(bf16)),
        ("steps", outcome.steps as f64),
        ("kept_step", outcome.kept_step as f64),
        ("computed_tokens", cost.computed_tokens as f64),
        ("unshared_tokens", cost.unshared_tokens as f64),
        ("padded_tokens", cost.padded_tokens as f64),
        ("rows_filled", cost.rows_filled()),
    ]);
    let kept = |it: &&Evaluation| it.step == outcome.kept_step;
    if let Some(kept) = outcome.evaluations.iter().find(kept) {
        numbers.insert("eval_loss", kept.loss);
        if objective.accuracy().is_some() {
            numbers.insert("eval_accuracy", kept.accuracy);
        }
    }
    let named = numbers.into_iter();
    named
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
