//! Settings of sampling, by transformers' names, and the run from examples to replies.

use crate::ops::TrainBackend;
use anyhow::Result;
use burn::module::AutodiffModule;

use crate::backend::{self, Work};
use crate::data::{Prompt, encode::encode_prompt};
use crate::generate::{self, Reply, Request};
use crate::model::DecoderConfig;

use crate::stage::folder::{self, model_dir};
use crate::stage::generation::Asked;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::Context;
use crate::store::{Progress, say};

/// How a stage samples.
pub struct SamplingSettings {
    asked: Asked,
    batch_size: usize,
}

/// A sampled reply as text.
pub struct Sampled {
    pub text: String,
    /// False if `max_new_tokens` ended it.
    pub finished: bool,
}

impl SamplingSettings {
    /// Reads the keys.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        Self {
            asked: Asked::read(keys),
            batch_size: keys
                .doc("prompts sampled at once; does not change the samples")
                .usize("generation_batch_size", 64, 1..),
        }
    }

    /// Samples one reply to each prompt from the model of `model`. A reply ends at the
    /// model's EOS.
    pub fn run(
        &self,
        context: &Context,
        model: &StageRef,
        prompts: &[(u64, Prompt)],
    ) -> Result<Vec<Sampled>> {
        let work = Sample {
            settings: self,
            context,
            model,
            prompts,
        };
        backend::dispatch(&context.backend, work)?
    }
}

/// Tokens that a prompt may have, so that a reply to it fits too.
pub fn prompt_room(config: &DecoderConfig, max_new_tokens: usize) -> usize {
    config.max_positions.saturating_sub(max_new_tokens).max(1)
}

struct Sample<'a> {
    settings: &'a SamplingSettings,
    context: &'a Context,
    model: &'a StageRef,
    /// Stream of the seed, and prompt.
    prompts: &'a [(u64, Prompt)],
}

impl Work for Sample<'_> {
    type Output = Result<Vec<Sampled>>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
        let (model, tokenizer) = folder::open::<B>(self.context.input(self.model), device)?;
        let model = model.valid();
        let dir = model_dir(self.context.input(self.model));
        let (sampling, note) = self.settings.asked.of(&dir, (&tokenizer, &model.config))?;
        if let Some(note) = note {
            say(&format!("{}: {note}", self.context.label));
        }
        let prompt_room = prompt_room(&model.config, sampling.max_new_tokens);
        let requests = self
            .prompts
            .iter()
            .map(|(stream, prompt)| {
                Ok(Request {
                    prompt: encode_prompt(&tokenizer, prompt, prompt_room)?,
                    stream: *stream,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let progress = Progress::new(&self.context.label, requests.len());
        let replies = generate::generate(
            &model,
            &requests,
            &sampling,
            self.context.seed,
            self.settings.batch_size,
            device,
            |done| {
                progress.at(done);
                !self.context.stop.requested()
            },
        );
        progress.finish();
        self.context.stop.check()?;
        let replies = replies.unwrap_or_default();
        let text = |reply: Reply| {
            Ok(Sampled {
                text: tokenizer.decode(&reply.tokens)?,
                finished: reply.finished,
            })
        };
        replies.into_iter().map(text).collect()
    }
}
