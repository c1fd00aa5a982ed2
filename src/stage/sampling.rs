//! Settings of sampling, by transformers' names, and the run from examples to replies.

use crate::ops::TrainBackend;
use anyhow::Result;
use burn::module::AutodiffModule;

use crate::backend::{self, Work};
use crate::data::{Prompt, encode::encode_prompt};
use crate::generate::{self, Reply, Request, Sampling};
use crate::model::DecoderConfig;

use crate::stage::folder;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::Context;
use crate::store::Progress;

/// How a stage samples.
pub struct SamplingSettings {
    sampling: Sampling,
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
        let sampling = Sampling {
            temperature: keys.doc("0 takes the likeliest token").float(
                "temperature",
                1.0,
                0.0..=10.0,
            ),
            top_k: keys.doc("0 keeps all tokens").usize("top_k", 0, 0..),
            top_p: keys.float("top_p", 1.0, f64::MIN_POSITIVE..=1.0),
            repetition_penalty: keys.float("repetition_penalty", 1.0, f64::MIN_POSITIVE..=10.0),
            min_new_tokens: keys.usize("min_new_tokens", 0, 0..),
            max_new_tokens: keys.usize("max_new_tokens", 64, 1..),
            stop: Vec::new(),
        };
        if sampling.min_new_tokens > sampling.max_new_tokens {
            keys.problem("min_new_tokens", "expected at most max_new_tokens");
        }
        Self {
            sampling,
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
        let sampling = Sampling {
            stop: vec![tokenizer.eos()],
            ..self.settings.sampling.clone()
        };
        let prompt_room = prompt_room(&model.config, sampling.max_new_tokens);
        let requests = self
            .prompts
            .iter()
            .map(|(stream, prompt)| {
                Ok(Request {
                    prompt: encode_prompt(&tokenizer, prompt, prompt_room)?.0,
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
