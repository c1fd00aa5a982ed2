//! `rapport score`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::stage::artifact::adapter;
use crate::stage::work::scores::score_file::score_file;
use crate::stage::work::scores::scorer;
use crate::store::{
    BadInput, OrBadInput, Stop, all_regular, check_artifact, print_json_lines, regular, say,
    write_jsonl,
};
use crate::{backend, hub};

/// Scores the dialogues or texts of a file with a reward model or a classifier.
///
/// Prints one line {"id": ..., "scores": {...}} for each row, in order, and two for a pair. Rows are JSON Lines, a JSON
/// list, CSV (each plain, .gz or .zst) or Parquet: rated
/// dialogues (`turns`), `messages`, `prompt` and `completion`, `chosen` and `rejected`, or `premise` and `hypothesis` for
/// a classifier. Conversations are written as those were that the model learned from.
#[derive(Args)]
pub struct Score {
    /// A reward model's artifact, or a model folder with a scoring head (ForSequenceClassification); or hub:ORG/NAME.
    model: PathBuf,
    /// Rows to score; or hub:datasets/ORG/NAME/FILE.
    file: PathBuf,
    /// Write the scores here, whole or not at all, instead of printing them.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Share of a prompt's tokens that must fit into the model; less is an error.
    #[arg(long, default_value_t = 0.5)]
    min_prompt_kept: f64,
    /// flex, ndarray, wgpu or cuda; by default the first that this build has.
    #[arg(long)]
    backend: Option<String>,
}

impl Score {
    pub fn run(mut self) -> Result<()> {
        let backend = self.backend.as_deref();
        let backend = backend.unwrap_or_else(|| backend::default_backend());
        backend::check(backend).map_err(|error| BadInput(error.to_string()))?;
        let stop = Stop::install();
        self.model = hub::local(&self.model, hub::Wanted::Model, &stop)?;
        self.file = hub::local(&self.file, hub::Wanted::Data, &stop)?;
        let beside = adapter::fetched(&self.model, &stop)?;
        if let Some(beside) = &beside {
            self.model = beside.path().to_path_buf();
        }
        all_regular(&self.model).or_bad_input()?;
        check_artifact(&self.model)?;
        regular(&self.file)?;
        if !self.file.exists() {
            return Err(BadInput(format!("{}: no such file", self.file.display())).into());
        }
        if let Some(out) = &self.out {
            let same = out.canonicalize().ok() == self.file.canonicalize().ok();
            if same || out.is_dir() {
                let out = out.display();
                let why = match same {
                    true => "is what is scored",
                    false => "is a folder",
                };
                return Err(BadInput(format!("--out {out} {why}; name another file")).into());
            }
        }
        scorer::heads(&self.model).map_err(|error| BadInput(format!("{error:#}")))?;
        let scored = score_file(
            &self.model,
            &self.file,
            (backend, self.min_prompt_kept),
            &stop,
        )?;
        for note in &scored.notes {
            say(note);
        }
        match &self.out {
            Some(path) => write_jsonl(path, scored.lines),
            None => print_json_lines(&scored.lines),
        }
    }
}
