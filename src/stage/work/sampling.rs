//! Settings of sampling, by transformers' names, and the run from prompts to replies.

use anyhow::{Context as _, Result, ensure};

use crate::data::encode::encode_prompt;
use crate::data::render::drawn_text;
use crate::data::{Prompt, Tokenizer};
use crate::engine::Frozen;
use crate::generate::{self, Request};
use crate::model::hf::config_json;
use crate::stage::artifact::folder::{LanguageModel, model_dir};
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::sampled::Sampled;
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;
use crate::stage::settings::sampling::{PromptKept, SamplingSettings};
use crate::stage::work::tokens::cuts::Cut;
use crate::store::{OrBadInput, Progress};

impl PromptKept {
    /// As [`encoded`](Self::encoded); what is wrong is what the user gave.
    ///
    /// # Errors
    /// As there.
    pub fn encode<'a>(
        self,
        context: &Context,
        models: (&StageRef, &[&StageRef]),
        tokenizer: (&Tokenizer, usize),
        prompts: impl IntoIterator<Item = &'a Prompt>,
        measures: &mut Measures,
    ) -> Result<Vec<Vec<u32>>> {
        self.encoded(context, models, tokenizer, prompts, measures)
            .or_bad_input()
    }

    /// Tokens of each prompt, the oldest cut where `max_new_tokens` would not fit behind them in the positions of
    /// `model`, and counted in `measures`. `others` read prompt and reply too, with the same tokenizer.
    ///
    /// # Errors
    /// A limit that leaves no prompt, or too little of one; a text of more tokens than one of `others` reads.
    fn encoded<'a>(
        self,
        context: &Context,
        (model, others): (&StageRef, &[&StageRef]),
        (tokenizer, max_new_tokens): (&Tokenizer, usize),
        prompts: impl IntoIterator<Item = &'a Prompt>,
        measures: &mut Measures,
    ) -> Result<Vec<Vec<u32>>> {
        let label = &context.label;
        let positions = |stage: &StageRef| -> Result<usize> {
            Ok(config_json::read(&model_dir(context.input(stage)))?.max_positions)
        };
        let most = positions(model)?;
        ensure!(
            max_new_tokens < most,
            "max_new_tokens is {max_new_tokens}, but @{} reads at most {most} tokens, prompt and reply \
             together; lower max_new_tokens",
            model.name
        );
        let room = most - max_new_tokens;
        let mut cut = Cut::new(self.0);
        let mut encoded: Vec<Vec<u32>> = Vec::new();
        let mut last: Option<&Prompt> = None;
        for (at, prompt) in prompts.into_iter().enumerate() {
            if let (true, Some(before)) = (last == Some(prompt), encoded.last()) {
                encoded.push(before.clone());
                continue;
            }
            last = Some(prompt);
            let (tokens, cuts) = encode_prompt(tokenizer, prompt, room)
                .with_context(|| format!("prompt {}", at + 1))?;
            cut.add(&format!("prompt {}", at + 1), &cuts);
            encoded.push(tokens);
        }
        let limit = format!(
            "max_new_tokens ({max_new_tokens}), which leaves {room} of the {most} tokens that @{} reads to a prompt,",
            model.name
        );
        cut.settle((label, &limit), "lower max_new_tokens", measures)?;
        let longest = encoded.iter().map(Vec::len).max().unwrap_or(0) + max_new_tokens;
        for other in others {
            let most = positions(other)?;
            ensure!(
                longest <= most,
                "a prompt and its reply come to up to {longest} tokens, but @{} reads at most {most}; lower \
                 max_new_tokens ({max_new_tokens}), or leave out longer prompts",
                other.name
            );
        }
        Ok(encoded)
    }
}

impl SamplingSettings {
    /// Samples one reply to each prompt, each of a stream of the seed, from the model of `model`. A reply ends at the
    /// model's EOS. The models of `others` are to read prompt and reply afterwards.
    ///
    /// # Errors
    /// As [`PromptKept::encode`], before anything is computed; a model that cannot be read, and a stop that was asked
    /// for.
    pub fn run(
        &self,
        context: &Context,
        (model, others): (&StageRef, &[&StageRef]),
        prompts: &[(u64, Prompt)],
        measures: &mut Measures,
    ) -> Result<Vec<Sampled>> {
        let LanguageModel {
            dir,
            config,
            tokenizer,
        } = LanguageModel::read(context.input(model))?;
        let (sampling, note) = self.asked.of(&dir, (&tokenizer, &config))?;
        if let Some(note) = note {
            measures.note(note);
        }
        let encoded = self.kept.encode(
            context,
            (model, others),
            (&tokenizer, sampling.max_new_tokens),
            prompts.iter().map(|(_, prompt)| prompt),
            measures,
        )?;
        let streams = prompts.iter().map(|(stream, _)| *stream);
        let requests: Vec<Request> = encoded
            .into_iter()
            .zip(streams)
            .map(|(prompt, stream)| Request { prompt, stream })
            .collect();
        let model = Frozen::open(self.bf16.device(&context.backend), &dir)?;
        let progress = Progress::new(&context.label, requests.len());
        let drawn = (context.seed, self.batch_size);
        let replies = model.generate(&requests, &sampling, drawn, |done| {
            progress.at(done);
            !context.stop.requested()
        });
        progress.finish();
        context.stop.check()?;
        let sampled = |((request, reply), asked): ((Request, generate::Reply), &(u64, Prompt))| {
            let text = tokenizer.decode_after(&request.prompt, &reply.tokens)?;
            Ok(Sampled {
                text: drawn_text(&asked.1, &tokenizer, text)?,
                prompt: request.prompt,
                finished: reply.finished(),
                tokens: reply.into_drawn(),
            })
        };
        let replies = replies.unwrap_or_default();
        let drawn = requests.into_iter().zip(replies);
        drawn.zip(prompts).map(sampled).collect()
    }
}
