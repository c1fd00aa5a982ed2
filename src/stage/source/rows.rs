//! `preferences`, `completions` and `labels`: rows that the user brings, in TRL's columns.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value};

use crate::data::chat::{ChatTemplate, RESERVED};
use crate::data::jinja::Day;
use crate::data::rows::{labelled_rows, preference_rows, sft_rows};
use crate::data::{Example, Examples, Reading};
use crate::stage::artifact::examples::RowsSettings;
use crate::stage::artifact::examples::write_examples;
use crate::stage::artifact::examples::write_kwargs;
use crate::stage::artifact::examples::write_settings;
use crate::stage::artifact::folder::model_dir;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{Keys, StageRef};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::{Group, Split};
use crate::store::BadInput;

pub const PREFERENCES: Kind = Kind {
    name: "preferences",
    about: "rows of prompt/chosen/rejected, plain or conversational",
    produces: Produces::Pairs,
    // 5: all that a row says reaches the chat template; identical pairs are left out.
    // 6: `chat_template_kwargs` as text.
    version: 6,
    uses_backend: false,
    modules: modules::READING,
    read: |keys| read(keys, preference_rows, false),
};

pub const COMPLETIONS: Kind = Kind {
    name: "completions",
    about: "rows of messages, prompt/completion or text",
    produces: Produces::Rows,
    // 4: all that a row says reaches the chat template, and its marks say what is scored.
    // 5: `chat_template_kwargs` as text; several messages of the assistant in a row.
    version: 5,
    uses_backend: false,
    modules: modules::READING,
    read: |keys| read(keys, sft_rows, true),
};

pub const LABELS: Kind = Kind {
    name: "labels",
    about: "rows of prompt/completion/label, plain or conversational",
    produces: Produces::Labels,
    // 2: all that a row says reaches the chat template.
    // 3: `chat_template_kwargs` as text.
    version: 3,
    uses_backend: false,
    modules: modules::READING,
    read: |keys| read(keys, labelled_rows, false),
};

/// Reads the rows of a file.
type Reader = for<'a> fn(&Path, &'a Reading<'a>) -> Result<Examples<'a>>;

/// [`Day::DEFAULT`], as recipes write it. A day of the run's own would give other rows each day.
const DATE: &str = "2024-07-26";

struct Rows {
    reader: Reader,
    model: Option<StageRef>,
    train: PathBuf,
    valid: Option<PathBuf>,
    test: Option<PathBuf>,
    settings: RowsSettings,
    /// The day that a chat template is told.
    date: Day,
    /// What the template is given for every row.
    kwargs: Map<String, Value>,
}

/// The key of what a template is given for every row; a row has a column of this name.
const KWARGS: &str = "chat_template_kwargs";

fn read(keys: &mut Keys<'_>, reader: Reader, by_row: bool) -> Box<dyn Stage> {
    let date = keys
        .doc("day that a chat template is told where it asks for today's, as 2024-07-26")
        .string("date", Some(DATE));
    let day = Day::parse(&date);
    if day.is_none() {
        keys.problem(
            "date",
            format!("expected a day such as {DATE}, found {date:?}"),
        );
    }
    let kwargs = keys
        .doc("variables of the chat template, such as enable_thinking, for every row; a row's own come over them")
        .object(KWARGS);
    if !kwargs.is_empty() && !keys.has("model") {
        keys.problem(KWARGS, "needs model, whose chat template is given them");
    }
    for name in RESERVED.iter().filter(|name| kwargs.contains_key(**name)) {
        keys.problem(
            KWARGS,
            format!("{name} is not a variable that can be given"),
        );
    }
    Box::new(Rows {
        date: day.unwrap_or(Day::DEFAULT),
        kwargs,
        reader,
        model: keys
            .doc("whose chat template renders conversational rows")
            .optional_stage("model", &[Produces::Model]),
        train: keys
            .doc("JSON Lines, a JSON list, CSV (plain, .gz or .zst) or Parquet, or a folder of such files")
            .path("train"),
        valid: keys.doc("as train").optional_path("valid"),
        test: keys
            .doc("as train, of prompts to reply to and be judged on")
            .optional_path("test"),
        settings: RowsSettings {
            shuffle: keys
                .doc("draw rows in a new order each epoch; false keeps the file's order")
                .bool("shuffle", true),
            by_dialogue: Group::read(keys, "none") == Group::Dialogue,
            by_row,
        },
    })
}

impl Stage for Rows {
    fn run(&self, context: &Context) -> Result<()> {
        let template = match &self.model {
            Some(model) => ChatTemplate::find(&model_dir(context.input(model)))?,
            None => None,
        };
        let template = template.map(|template| template.on(self.date).given(self.kwargs.clone()));
        let mut measures = Measures::default();
        for name in self.kwargs.keys() {
            if template
                .as_ref()
                .is_some_and(|template| !template.names(name))
            {
                measures.note(format!(
                    "{KWARGS}.{name} is given to the chat template, which does not read it"
                ));
            }
        }
        let files = [
            (Split::Train, Some(&self.train)),
            (Split::Valid, self.valid.as_ref()),
            (Split::Test, self.test.as_ref()),
        ];
        for (split, path) in files {
            let Some(path) = path else { continue };
            // Only rows to imitate are scored by the template's own marks, as with TRL's `assistant_only_loss`.
            let reading = Reading::by(template.as_ref(), self.settings.by_row).of(split.name());
            let examples = (self.reader)(path, &reading)?;
            let remarks = reading.take_remarks();
            let shown = remarks.iter().take(SHOWN);
            for (remark, count) in shown {
                measures.note(format!("{}: {count} with {remark}", split.name()));
            }
            if let Some(more) = remarks.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                measures.note(format!(
                    "{}: {more} more remarks of this kind",
                    split.name()
                ));
            }
            let (mut kept, mut identical) = (0, 0);
            // A test split is of prompts, whatever follows them.
            let differ = |example: &Example| match &example.completions[..] {
                [chosen, rejected] if split != Split::Test => chosen.text != rejected.text,
                _ => true,
            };
            let examples = examples.filter(|example| {
                let keep = example.as_ref().map_or(true, differ);
                kept += usize::from(keep);
                identical += usize::from(!keep);
                keep
            });
            write_examples(&context.dir, split, examples)?;
            reading.take_remarks();
            if identical > 0 && kept == 0 {
                let path = path.display();
                return Err(BadInput(format!(
                    "{path}: chosen and rejected are the same text in all {identical} rows; there is nothing to learn"
                ))
                .into());
            }
            if identical > 0 {
                measures.note(format!(
                    "{}: {identical} identical pairs dropped",
                    split.name()
                ));
            }
        }
        if template.as_ref().is_some_and(ChatTemplate::asked_day) {
            let date = self.date;
            measures.note(format!(
                "the chat template is told that today is {date}; `date` sets another day"
            ));
        }
        measures.write(&context.dir)?;
        write_kwargs(&context.dir, &self.kwargs)?;
        write_settings(&context.dir, self.settings)
    }
}

/// How many remarks on a file are spelt out.
const SHOWN: usize = 20;
