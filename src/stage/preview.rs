//! What a dry run shows of a training stage: size, memory, and one example with its loss mask.

use anyhow::Result;

use crate::data::Tokenizer;
use crate::model::DecoderConfig;
use crate::model::hf::config_json;
use crate::objective::Objective;
use crate::stage::fit::Fit;
use crate::stage::folder::model_dir;
use crate::stage::kind::Context;
use crate::train::{Batch, Dataset};

/// Describes the stage by its model's configuration and its first micro-batch.
pub fn training(
    context: &Context,
    fit: &Fit,
    tokenizer: &Tokenizer,
    objective: Objective,
    train: &Dataset,
) -> Result<String> {
    let config = config_json::read(&model_dir(context.input(&fit.model)))?;
    let micro = fit.settings.per_device_train_batch_size;
    let first = train.micro_batches(0, context.seed, micro);
    let batch = first.first().map(|units| train.batch(units, &objective));
    let tokens = batch.as_ref().map_or(0, |batch| batch.forest.tokens.len());
    let mut text = format!(
        "  {} parameters ({}), {} examples in {} units\n  first micro-batch: {}\n  memory: about {:.2} GB \
         (weights, gradient and moments {:.2}, activations {:.2})\n",
        config.parameters(),
        config.family.name(),
        train.examples.len(),
        train.units.len(),
        batch.as_ref().map_or("none".into(), describe),
        (state_bytes(&config) + activation_bytes(&config, tokens)) / 1e9,
        state_bytes(&config) / 1e9,
        activation_bytes(&config, tokens) / 1e9,
    );
    if !train.examples.is_empty() {
        text.push_str("  first example, scored tokens in brackets:\n");
        for branch in train.examples.branches(0) {
            let (prompt, scored) = branch.tokens.split_at(branch.scored_from);
            text.push_str(&format!("    {:?}", tokenizer.decode(prompt)?));
            for &token in scored {
                let piece = if token == tokenizer.eos() {
                    tokenizer.eos_text().to_owned()
                } else {
                    tokenizer.decode(&[token])?
                };
                text.push_str(&format!(" [{piece}]"));
            }
            text.push('\n');
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

/// Weights, gradient and two moments, all f32.
fn state_bytes(config: &DecoderConfig) -> f64 {
    16.0 * config.parameters() as f64
}

/// What backward keeps of each token: in a block the residual twice, two norms, queries, keys and values,
/// the attended values, and the feed-forward's input, activation and output; f32.
fn activation_bytes(config: &DecoderConfig, tokens: usize) -> f64 {
    let block =
        6 * config.hidden_size + config.qkv_size() + config.up_size() + config.intermediate_size;
    4.0 * (tokens * config.layers * block) as f64
}
