//! `rapport data`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::data::Tokenizer;
use crate::data::survey::{ColumnSurvey, Survey, survey};
use crate::hub::{self, Wanted};
use crate::stage::work::tokens::lengths::{Lengths, Tokenised, tokenised};
use crate::store::{BadInput, Stop, print, print_json};

/// Says what a file of rows holds: columns, duplicates, lengths in tokens, and three rows as a model reads them.
///
/// The file is JSON Lines, a JSON list or CSV, each plain or .gz or .zst, or Parquet; or a folder of such files.
#[derive(Args)]
pub struct Data {
    /// A file, or a folder of files, of rows; or hub:datasets/ORG/NAME/FILE.
    file: PathBuf,
    /// The folder of a model or tokenizer, or hub:ORG/NAME, for lengths in tokens and for rendered rows.
    #[arg(long, visible_alias = "model", value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// Say what this limit of a row's tokens would cut.
    #[arg(long, requires = "tokenizer", value_parser = clap::value_parser!(u32).range(2..))]
    max_length: Option<u32>,
    /// Of a folder with files of several splits: train, valid or test.
    #[arg(long, value_parser = ["train", "valid", "test"])]
    split: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Quantiles that are shown.
const QUANTILES: [(&str, f64); 6] = [
    ("min", 0.0),
    ("50%", 0.5),
    ("90%", 0.9),
    ("95%", 0.95),
    ("99%", 0.99),
    ("max", 1.0),
];

impl Data {
    pub fn run(mut self) -> Result<()> {
        let stop = Stop::install();
        self.file = hub::local(&self.file, Wanted::Data, &stop)?;
        if let Some(dir) = &mut self.tokenizer {
            *dir = hub::local(dir, Wanted::Tokenizer, &stop)?;
        }
        if !self.file.exists() {
            return Err(BadInput(format!("{}: no such file", self.file.display())).into());
        }
        let split = ["train", "valid", "test"];
        let split = split
            .into_iter()
            .find(|it| self.split.as_deref() == Some(it));
        let found = survey(&self.file, split)?;
        let tokenizer = self.tokenizer.as_deref().map(Tokenizer::open);
        let tokens = match (tokenizer.transpose()?, found.form) {
            (Some(tokenizer), Some(form)) => Some(tokenised(
                &self.file,
                form,
                &tokenizer,
                (split, self.max_length.map(|it| it as usize)),
            )?),
            _ => None,
        };
        match self.json {
            true => print_json(&as_json(&found, tokens.as_ref())),
            false => print(&self.as_text(&found, tokens.as_ref())),
        }
    }

    fn as_text(&self, found: &Survey, tokens: Option<&Tokenised>) -> String {
        let files = match found.files {
            1 => String::new(),
            files => format!("{files} files of "),
        };
        let mut text = format!(
            "{}: {files}{}, {} rows, {} of them equal to an earlier one\n",
            self.file.display(),
            found.format,
            found.rows,
            found.duplicates
        );
        text.push_str(&match found.form {
            Some(form) => format!("read by stages of kind {}\n", form.kind()),
            None => "no columns that preferences, labels or completions read\n".into(),
        });
        text.push_str(&format!("\n{:24} {:>8}  holds\n", "column", "null"));
        for (name, column) in &found.columns {
            let read = match column.read || found.form.is_none() {
                true => "",
                false => "; not read",
            };
            let types = types(column);
            text.push_str(&format!("{name:24} {:>8}  {types}{read}\n", column.nulls));
        }
        let Some(tokens) = tokens else {
            if self.tokenizer.is_none() {
                text.push_str("\nlengths in tokens and rendered rows: give --model DIR\n");
            }
            return text;
        };
        text.push_str(&format!(
            "\n{:24}",
            format!("tokens, {} examples", tokens.examples)
        ));
        for (name, _) in QUANTILES {
            text.push_str(&format!(" {name:>8}"));
        }
        text.push('\n');
        for (name, lengths) in named(tokens) {
            text.push_str(&format!("{name:24}"));
            for (_, part) in QUANTILES {
                text.push_str(&format!(" {:>8}", lengths.quantile(part)));
            }
            text.push('\n');
        }
        if let Some(limit) = self.max_length {
            text.push('\n');
            for note in &tokens.cut {
                text.push_str(&format!("{note}\n"));
            }
            if tokens.cut.is_empty() {
                text.push_str(&format!("max_length {limit} cuts nothing\n"));
            }
        }
        for (remark, count) in &tokens.remarks {
            text.push_str(&format!("{count} with {remark}\n"));
        }
        for shown in &tokens.shown {
            text.push_str(&format!(
                "\n{}, scored tokens in brackets:\n{}",
                shown.id, shown.text
            ));
        }
        text
    }
}

fn types(column: &ColumnSurvey) -> String {
    let types = column.types.iter();
    let types: Vec<String> = match column.types.len() {
        1 => types.map(|(name, _)| name.clone()).collect(),
        _ => types
            .map(|(name, count)| format!("{name} ({count})"))
            .collect(),
    };
    types.join(", ")
}

fn named(tokens: &Tokenised) -> [(&'static str, &Lengths); 3] {
    [
        ("prompt", &tokens.prompts),
        ("completion", &tokens.completions),
        ("prompt and longest", &tokens.whole),
    ]
}

fn as_json(found: &Survey, tokens: Option<&Tokenised>) -> Value {
    let columns: Map<String, Value> = found
        .columns
        .iter()
        .map(|(name, it)| {
            let types = it.types.iter();
            let types: Map<String, Value> = types
                .map(|(name, count)| (name.clone(), (*count).into()))
                .collect();
            let column = json!({"types": types, "nulls": it.nulls, "read": it.read});
            (name.clone(), column)
        })
        .collect();
    let mut all = json!({
        "format": found.format,
        "files": found.files,
        "rows": found.rows,
        "duplicates": found.duplicates,
        "kind": found.form.map(|form| form.kind()),
        "columns": columns,
    });
    if let Some(tokens) = tokens {
        let lengths: Map<String, Value> = named(tokens)
            .into_iter()
            .zip(["prompt", "completion", "whole"])
            .map(|((_, lengths), name)| {
                let quantiles =
                    QUANTILES.map(|(name, part)| (name.to_owned(), lengths.quantile(part).into()));
                let quantiles: Map<String, Value> = quantiles.into_iter().collect();
                (name.to_owned(), quantiles.into())
            })
            .collect();
        all["examples"] = tokens.examples.into();
        all["tokens"] = lengths.into();
        all["cut"] = json!(tokens.numbers);
        all["remarks"] = json!(tokens.remarks);
        all["shown"] = json!(tokens.shown);
    }
    all
}
