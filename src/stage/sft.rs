//! `sft`: supervised fine-tuning on the replies of dialogues or on rows.

use anyhow::Result;

use crate::data::Tokenizer;
use crate::objective::Objective;
use crate::stage::corpus::{self, Encoding, Group, Split};
use crate::stage::fit::{Defaults, Fit};
use crate::stage::folder::model_dir;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::measures::Measures;
use crate::stage::preview;
use crate::stage::rows::{RowsSettings, read_examples};
use crate::train::{Dataset, Keep};

pub const KIND: Kind = Kind {
    name: "sft",
    about: "supervised fine-tuning, loss on replies",
    produces: Produces::Model,
    version: 1,
    uses_backend: true,
    read,
};

struct Sft {
    fit: Fit,
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
        choices: &[("loss", Keep::LowestLoss), ("none", Keep::Last)],
    };
    Box::new(Sft {
        fit: Fit::read(keys, &defaults),
        data: keys.stage("data", &[Produces::Dialogues, Produces::Rows]),
        split: Split::read(keys, "train"),
        group: keys.has("group").then(|| Group::read(keys, "dialogue")),
        shuffle: keys.optional_bool("shuffle"),
    })
}

impl Stage for Sft {
    fn run(&self, context: &Context) -> Result<()> {
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.fit.model)))?;
        let mut measures = Measures::default();
        let train = self.dataset(context, self.split, &tokenizer, &mut measures)?;
        let valid = self.dataset(context, Split::Valid, &tokenizer, &mut measures)?;
        let sets = (train.unwrap_or_default(), valid);
        self.fit
            .run(context, &tokenizer, Objective::Sft, sets, measures)
    }

    fn preview(&self, context: &Context) -> Result<Option<String>> {
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.fit.model)))?;
        let mut measures = Measures::default();
        let train = self.dataset(context, self.split, &tokenizer, &mut measures)?;
        let train = train.unwrap_or_default();
        let preview = preview::training(context, &self.fit, &tokenizer, Objective::Sft, &train)?;
        Ok(Some(preview))
    }
}

impl Sft {
    /// The split, tokenised; nothing where the data has no such split.
    fn dataset(
        &self,
        context: &Context,
        split: Split,
        tokenizer: &Tokenizer,
        measures: &mut Measures,
    ) -> Result<Option<Dataset>> {
        let data = context.input(&self.data);
        // Rows say themselves how they are drawn; dialogues are kept whole and shuffled.
        let rows = RowsSettings::find(data)?;
        let (group, shuffle) = rows.map_or((Group::Dialogue, true), |r| (r.group(), r.shuffle));
        let encoding = Encoding {
            max_length: self.fit.max_length,
            group: self.group.unwrap_or(group),
            shuffle: self.shuffle.unwrap_or(shuffle),
        };
        let examples = match rows {
            Some(_) => read_examples(data, split)?,
            None => split.examples(data)?,
        };
        if examples.is_empty() {
            return Ok(None);
        }
        let what = format!("{} ({})", context.label, split.name());
        corpus::dataset(&examples, tokenizer, encoding, &what, measures).map(Some)
    }
}
