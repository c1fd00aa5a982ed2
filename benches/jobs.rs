//! Jobs of the side-by-side that no recipe is made for: generation, ranking and opening, through the library.
//!
//!     cargo bench --profile dev --bench jobs -- --model DIR --rows prompts.jsonl generate
//!     cargo bench --profile dev --bench jobs -- --model DIR --rows rank.jsonl rank
//!
//! Each prints one JSON object; `benches/side_by_side/run.py` reads it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use burn::module::AutodiffModule;
use clap::{Parser, Subcommand};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use rapport::backend::{self, Work};
use rapport::data::encode::{Limits, encode_example};
use rapport::data::{Completion, Prompt, Role, Tokenizer};
use rapport::generate::{Request, Sampling, generate};
use rapport::model::{Decoder, hf, weights};
use rapport::objective::Objective;
use rapport::ops::{Ops, TrainBackend};
use rapport::train::{Dataset, Sequence, TrainExample, branch_logps};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    job: Job,
    /// A Hugging Face folder.
    #[arg(long)]
    model: PathBuf,
    /// JSON Lines.
    #[arg(long)]
    rows: PathBuf,
    #[arg(long, default_value = backend::default_backend())]
    backend: String,
    /// What `cargo bench` adds.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Job {
    /// Greedy replies to prompts: new tokens a second, and the tokens.
    Generate {
        #[arg(long, default_value_t = 32)]
        new_tokens: usize,
        /// Prompts under way at once.
        #[arg(long, default_value_t = 64)]
        batch: usize,
    },
    /// The folder alone, opened.
    Open,
    /// Candidates of one prompt scored as one tree and one by one: candidates a second, both ways.
    Rank,
}

#[derive(Deserialize)]
struct PromptRow {
    prompt: String,
}

#[derive(Deserialize)]
struct RankRow {
    prompt: String,
    candidates: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let backend = arguments.backend.clone();
    println!("{}", backend::dispatch(&backend, arguments)??);
    Ok(())
}

impl Work for Arguments {
    type Output = Result<Value>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Result<Value> {
        let started = Instant::now();
        let (config, checkpoint) = hf::open(&self.model)?;
        let model = weights::load::<B, _>(&config, device, |slot| checkpoint.read(slot))?.valid();
        let opened = started.elapsed().as_secs_f64();
        let tokenizer = Tokenizer::open(&self.model)?;
        match self.job {
            Job::Generate { new_tokens, batch } => {
                let sampling = Sampling {
                    temperature: 0.0,
                    min_new_tokens: new_tokens,
                    max_new_tokens: new_tokens,
                    stop: vec![tokenizer.eos()],
                    ..Sampling::default()
                };
                let prompts = rows(&self.rows)?;
                replies(&model, &tokenizer, &prompts, &sampling, batch, device)
            }
            Job::Open => Ok(json!({"value": opened.recip(), "seconds": [opened]})),
            Job::Rank => rank(&model, &tokenizer, &rows(&self.rows)?),
        }
    }
}

/// Tokenising is timed too, as it is in the other program.
fn replies<B: Ops>(
    model: &Decoder<B>,
    tokenizer: &Tokenizer,
    prompts: &[PromptRow],
    sampling: &Sampling,
    batch: usize,
    device: &B::Device,
) -> Result<Value> {
    let run = |prompts: &[PromptRow]| -> Result<Vec<Vec<u32>>> {
        let request = |(stream, row): (usize, &PromptRow)| -> Result<Request> {
            Ok(Request {
                prompt: tokenizer.encode(&row.prompt)?.ids,
                stream: stream as u64,
            })
        };
        let requests = prompts.iter().enumerate().map(request);
        let requests = requests.collect::<Result<Vec<_>>>()?;
        let replies = generate(model, &requests, sampling, 0, batch, device, |_| true);
        let replies = replies.context("generation ended early")?;
        Ok(replies.into_iter().map(|reply| reply.tokens).collect())
    };
    run(&prompts[..prompts.len().min(16)])?;
    let started = Instant::now();
    let tokens = run(prompts)?;
    let seconds = started.elapsed().as_secs_f64();
    let new: usize = tokens.iter().map(Vec::len).sum();
    Ok(json!({"value": new as f64 / seconds, "seconds": [seconds], "tokens": tokens}))
}

fn rank<B: Ops>(model: &Decoder<B>, tokenizer: &Tokenizer, rows: &[RankRow]) -> Result<Value> {
    let mut examples = Vec::new();
    let mut trees = Vec::new();
    for row in rows {
        let first = examples.len();
        let prompt = Prompt::Text(row.prompt.clone());
        let candidates = row.candidates.iter();
        let candidates: Vec<Completion> = candidates
            .map(|text| Completion::new(text, Role::Reply))
            .collect();
        let limits = Limits {
            max_length: model.config.max_positions,
            append_eos: true,
        };
        let encoded = encode_example(tokenizer, &prompt, &candidates, limits)?;
        for completion in encoded.completions {
            let sequence = Sequence {
                scored_from: encoded.prompt.len(),
                tokens: [&encoded.prompt[..], &completion.tokens].concat(),
            };
            examples.push(TrainExample {
                sequences: vec![sequence],
                reference: Vec::new(),
            });
        }
        trees.push((first..examples.len()).collect());
    }
    let alone = (0..examples.len()).map(|example| vec![example]).collect();
    let score = |units: Vec<Vec<usize>>| -> Result<(f64, Vec<f32>)> {
        let set = Dataset {
            examples: examples.iter().cloned().collect(),
            units: units.into_iter().collect(),
            shuffle: false,
        };
        // The first batch, once more, is the warm-up.
        branch_logps(model, &set, &Objective::Sft, 1, |_| false);
        let started = Instant::now();
        let found = branch_logps(model, &set, &Objective::Sft, 1, |_| true);
        let seconds = started.elapsed().as_secs_f64();
        let found = found.context("scoring ended early")?;
        Ok((seconds, found.into_iter().flatten().collect()))
    };
    let (tree_seconds, as_trees) = score(trees)?;
    let (alone_seconds, one_by_one) = score(alone)?;
    let differences = as_trees.iter().zip(&one_by_one).map(|(a, b)| (a - b).abs());
    Ok(json!({
        "value": examples.len() as f64 / tree_seconds,
        "one_by_one": examples.len() as f64 / alone_seconds,
        "seconds": [tree_seconds, alone_seconds],
        "losses": as_trees,
        "max_difference": differences.fold(0.0, f32::max),
    }))
}

/// Reads JSON Lines whose rows may have further columns.
fn rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let row = |(index, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), index + 1))
    };
    text.lines().enumerate().map(row).collect()
}
