//! `sft`: supervised fine-tuning on the replies of dialogues or on rows.

use anyhow::{Result, bail};

use crate::data::Tokenizer;
use crate::objective::Objective;
use crate::stage::artifact::examples::Take;
use crate::stage::artifact::folder::model_dir;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{Keys, StageRef};
use crate::stage::settings::produces::{EXAMPLES, Produces};
use crate::stage::settings::splits::{Group, Split};
use crate::stage::settings::trainer::{Defaults, Trainer};
use crate::stage::work::training::preview;
use crate::train::{Dataset, Keep};

pub const KIND: Kind = Kind {
    name: "sft",
    about: "supervised fine-tuning, loss on replies",
    produces: Produces::Model,
    // 2: the saved folder keeps its source's type of weights and generation_config.json, and names the EOS trained with;
    // what a chat template has rendered gets no other special tokens.
    version: 2,
    uses_backend: true,
    modules: modules::TRAINING,
    read,
};

struct Sft {
    trainer: Trainer,
    data: StageRef,
    split: Split,
    group: Option<Group>,
    shuffle: Option<bool>,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let defaults = Defaults {
        // TRL's SFTConfig.
        learning_rate: 2e-5,
        best: "loss",
        choices: &[("loss", Keep::BestLoss), ("none", Keep::Last)],
    };
    Box::new(Sft {
        trainer: Trainer::read(keys, &defaults),
        data: keys.stage("data", EXAMPLES),
        split: Split::read(keys, "train"),
        group: keys.has("group").then(|| Group::read(keys, "dialogue")),
        shuffle: keys.optional_bool("shuffle"),
    })
}

impl Stage for Sft {
    fn run(&self, context: &Context) -> Result<()> {
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.trainer.model)))?;
        let mut measures = Measures::default();
        let train = self.dataset(context, self.split, &tokenizer, &mut measures)?;
        let valid = match self.trainer.validates {
            true => self.dataset(context, Split::Valid, &tokenizer, &mut measures)?,
            false => None,
        };
        let Some(train) = train else {
            bail!("there are no completions to train on");
        };
        let sets = (train, valid);
        self.trainer
            .run(context, &tokenizer, &Objective::Sft, None, sets, measures)
    }

    fn preview(&self, context: &Context) -> Result<Option<String>> {
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.trainer.model)))?;
        let mut measures = Measures::default();
        let train = self.dataset(context, self.split, &tokenizer, &mut measures)?;
        let train = train.unwrap_or_default();
        let text = preview::training(context, &self.trainer, &tokenizer, &Objective::Sft, &train)?;
        Ok(Some(text + &preview::remarks(&measures)))
    }
}

impl Sft {
    fn dataset(
        &self,
        context: &Context,
        split: Split,
        tokenizer: &Tokenizer,
        measures: &mut Measures,
    ) -> Result<Option<Dataset>> {
        let drawn = (self.group, self.shuffle);
        let data = (&self.data, split, Take::Good);
        let set = self
            .trainer
            .dataset(context, data, drawn, tokenizer, measures)?;
        if let Some(set) = &set {
            self.trainer.fits(context, &self.trainer.model, set, 0)?;
        }
        Ok(set)
    }
}
