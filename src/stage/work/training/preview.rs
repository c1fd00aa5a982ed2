//! What a dry run shows of a training stage: size, memory, and one example with its loss mask.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::backend;
use crate::data::Tokenizer;
use crate::engine::{self, Adapted, LoraSettings};
use crate::model::forest::Branch;
use crate::model::{DecoderConfig, hf};
use crate::objective::Objective;
use crate::stage::artifact::folder::{self, model_dir};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::stage::settings::trainer::Trainer;
use crate::stage::work::training::duration::{Passes, operations, seconds};
use crate::stage::work::training::memory::Estimate;
use crate::store::clock;
use crate::train::{Batch, Dataset};

/// Micro-batches of which the largest sets the estimate of memory.
const LOOKED_AT: usize = 64;

/// Describes the stage by its model's configuration and its first micro-batch.
pub fn training(
    context: &Context,
    trainer: &Trainer,
    tokenizer: &Tokenizer,
    objective: &Objective,
    train: &Dataset,
) -> Result<String> {
    let dir = model_dir(context.input(&trainer.model));
    let (config, checkpoint) = hf::open(&dir)?;
    let scores = matches!(objective, Objective::Score(_));
    let adapted = trainer.lora.as_ref();
    let adapted = adapted.map(|lora| lora.of(&dir, (&config, &checkpoint), scores));
    let adapted = adapted.transpose()?;
    let trained = adapted.as_ref().map(|it| it.lora.parameters(&config));
    let trained = trained.transpose()?;
    let held = trained.zip(adapted.as_ref().map(|it| it.base_dtype));
    let micro = trainer.settings.per_device_train_batch_size;
    let micro_batches = train.micro_batches(0, context.seed, micro);
    let compute = trainer.device(context).compute;
    let widened = !backend::prefers_bf16(&context.backend);
    let looked_at = micro_batches.iter().take(LOOKED_AT);
    let batches: Vec<Batch> = looked_at
        .map(|units| train.batch(units, objective))
        .collect();
    let chunk = backend::logits_chunk(&context.backend);
    let estimates = batches
        .iter()
        .map(|batch| Estimate::new(&config, &batch.forest, compute, (widened, chunk), held));
    let largest = estimates.max_by(|a, b| a.total().total_cmp(&b.total()));
    let mut text = format!(
        "  {} parameters ({}), {} examples in {} units\n  first micro-batch: {}\n",
        config.parameters(),
        config.family.name(),
        train.examples.len(),
        train.units.len(),
        batches.first().map_or("none".into(), describe),
    );
    if let Some((adapted, trained)) = adapted.as_ref().zip(trained) {
        text.push_str(&frozen(adapted, trained, &config));
    }
    if let Some(largest) = largest {
        text.push_str(&format!(
            "  memory: about {:.2} GB (weights, gradient and moments {:.2}, activations {:.2})\n",
            largest.total() / 1e9,
            largest.state / 1e9,
            largest.activations / 1e9,
        ));
    }
    let passes = Passes {
        recompute: compute.recompute,
        adapted: adapted.is_some(),
        reference: objective.needs_reference(),
    };
    if let Some(time) = time(context, (trainer, &config), train, &batches, passes)? {
        text.push_str(&time);
    }
    if !train.examples.is_empty() {
        text.push_str("  first example, scored tokens in brackets:\n");
        text.push_str(&example(tokenizer, train, 0)?);
    }
    Ok(text)
}

/// How long the run takes, by the batches that were looked at and the rate of the machine's products now.
fn time(
    context: &Context,
    (trainer, config): (&Trainer, &DecoderConfig),
    train: &Dataset,
    batches: &[Batch],
    passes: Passes,
) -> Result<Option<String>> {
    let steps = trainer.settings.steps(train.units.len());
    if steps == 0 || batches.is_empty() {
        return Ok(None);
    }
    let rate = engine::rate(trainer.device(context), config)?;
    let operations = batches
        .iter()
        .map(|it| operations(config, &it.forest, passes));
    let each = operations.sum::<f64>() / batches.len() as f64;
    let step = seconds(
        each * trainer.settings.gradient_accumulation_steps as f64,
        rate,
    );
    Ok(Some(format!(
        "  time: about {} for {steps} steps of {step:.1} s, validation and what makes the data beside it (products run at \
         {:.0} GFLOP/s here, now)\n",
        clock(Duration::try_from_secs_f64(step * steps as f64).unwrap_or(Duration::MAX)),
        rate / 1e9,
    )))
}

/// An example's sequences as the model reads them, one a line.
pub fn example(tokenizer: &Tokenizer, train: &Dataset, number: usize) -> Result<String> {
    let mut text = String::new();
    for branch in train.examples.branches(number) {
        text.push_str(&format!("    {}\n", spelled(tokenizer, &branch)?));
    }
    Ok(text)
}

/// What is trained of the model in `dir`, and what is not.
pub fn adapters(dir: &Path, lora: &LoraSettings, scores: bool) -> Result<String> {
    let (config, checkpoint) = hf::open(dir)?;
    let adapted = lora.of(dir, (&config, &checkpoint), scores)?;
    let trained = adapted.lora.parameters(&config)?;
    Ok(frozen(&adapted, trained, &config))
}

fn frozen(adapted: &Adapted, trained: usize, config: &DecoderConfig) -> String {
    let adapted = folder::describe(adapted, trained);
    format!("  {adapted}; {} frozen\n", config.parameters())
}

/// What the run will remark of what it trains on.
pub fn remarks(measures: &Measures) -> String {
    let notes = measures.notes.iter();
    notes.map(|note| format!("  {note}\n")).collect()
}

/// A sequence as the model reads it, special tokens spelled out: its prompt, and each scored token in brackets.
fn spelled(tokenizer: &Tokenizer, branch: &Branch<'_>) -> Result<String> {
    let prompt = &branch.tokens[..branch.scored_from];
    let mut text = format!("{:?}", tokenizer.decode_after(&[], prompt)?);
    let mut scored = branch.places().peekable();
    for at in branch.scored_from..branch.tokens.len() {
        let (before, token) = branch.tokens[at - 1..=at].split_at(1);
        let piece = tokenizer.decode_after(before, token)?;
        match scored.next_if_eq(&at) {
            Some(_) => text.push_str(&format!(" [{}]", piece.replace('\n', "\\n"))),
            None => text.push_str(&format!(" {piece:?}")),
        }
    }
    Ok(text)
}

fn describe(batch: &Batch) -> String {
    let forest = &batch.forest;
    format!(
        "{} rows of {} tokens, {} computed where a padded batch has {}, {} scored",
        forest.rows,
        forest.width,
        forest.computed,
        forest.padded,
        forest.scored.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_of_the_prompt_are_shown_too() {
        let tokenizer = Tokenizer::train_bpe(vec!["hi there".into()], 300).unwrap();
        let text = |text: &str| tokenizer.encode(text).unwrap().ids;
        let prompt = text("<|pad|>hi");
        let tokens = [&prompt[..], &text(" there"), &[tokenizer.eos()]].concat();
        let branch = Branch::new(&tokens, prompt.len());
        let shown = spelled(&tokenizer, &branch).unwrap();
        assert!(shown.starts_with("\"<|pad|>hi\" ["), "{shown}");
        assert!(shown.ends_with(" [<|endoftext|>]"), "{shown}");
    }
}
