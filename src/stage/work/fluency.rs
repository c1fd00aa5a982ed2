//! How natural replies are to a language model: how likely it finds them after the conversation alone.

use anyhow::{Context as _, Result};
use serde_json::Map;

use crate::data::{Completion, Example, History, Prompt, Role};
use crate::engine::Frozen;
use crate::stage::artifact::folder::LanguageModel;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::replied::Replied;
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;
use crate::stage::settings::precision::Bf16;
use crate::stage::settings::splits::Group;
use crate::stage::work::tokens::dataset::{self, Encoding};
use crate::stage::work::tokens::limits;
use crate::store::BadInput;

/// Dialogues scored at once.
const BATCH: usize = 8;

/// Refuses prompts that [`measure`] cannot read, before a reply to any is sampled.
///
/// # Errors
/// Prompts of which nobody has told apart who said what.
pub fn check(examples: &[Example]) -> Result<()> {
    examples.iter().try_for_each(|it| said(it).map(drop))
}

/// Adds `fluency.reply`: of each reply the log-prob a token under `model`, its ending included, after what both sides and the
/// database said; and `fluency.reference`, that of what the data replies. The persona or the guardrails are not read, so
/// that a reply is not natural for being told.
///
/// # Errors
/// Prompts of which nobody has told apart who said what; a model that cannot be read, or that reads fewer tokens than
/// there are; and a stop that was asked for.
pub fn measure(
    context: &Context,
    model: &StageRef,
    (examples, replied): (&[Example], &[Replied]),
    (max_length, bf16): (usize, Bf16),
    measures: &mut Measures,
) -> Result<()> {
    let LanguageModel {
        dir,
        config,
        tokenizer,
    } = LanguageModel::read(context.input(model))?;
    let encoding = Encoding {
        max_length,
        min_prompt_kept: 0.0,
        group: Group::Dialogue,
        shuffle: false,
    };
    let both = examples.iter().zip(replied);
    let set = dataset::dataset(
        both.map(|(example, replied)| conversation(example, replied)),
        &tokenizer,
        encoding,
        "fluency",
        &context.dir,
        measures,
    )?;
    limits::check(&model.name, &config, set.examples.longest(), max_length)?;
    let model = Frozen::open(bf16.device(&context.backend), &dir)?;
    let logps = model.logps(&set, BATCH, |_| !context.stop.requested());
    context.stop.check()?;
    let mut of = [Vec::new(), Vec::new()];
    for (example, logps) in logps.unwrap_or_default().into_iter().enumerate() {
        let branches = set.examples.branches(example);
        for ((branch, logp), of) in branches.zip(logps).zip(&mut of) {
            of.push(f64::from(logp) / branch.scored() as f64);
        }
    }
    let [replies, references] = of;
    measures.mean_score("fluency.reply", replies);
    measures.mean_score("fluency.reference", references);
    Ok(())
}

/// What was said before a reply is due, and nothing that the bot was told.
fn said(example: &Example) -> Result<History> {
    let history = example.prompt.history().with_context(|| {
        let message = "is plain text, in which guardrails cannot be told from what was said";
        BadInput(format!("fluency: the prompt of {} {message}", example.id))
    })?;
    Ok(History {
        turns: history.turns.clone(),
        ..History::default()
    })
}

/// The reply and the data's own one, after what was [`said`].
fn conversation(example: &Example, replied: &Replied) -> Result<Example> {
    let said = said(example)?;
    let texts = [&replied.reply, &replied.reference];
    Ok(Example {
        id: example.id.clone(),
        group: example.group.clone(),
        prompt: Prompt::Dialogue(said),
        completions: texts
            .map(|text| Completion::new(format!(" {text}"), Role::Reply))
            .into(),
        meta: Map::new(),
    })
}

#[cfg(test)]
mod tests;
