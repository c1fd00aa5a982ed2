//! `perplexity`: of the reference replies of a split, given persona and history.

use crate::ops::TrainBackend;
use anyhow::{Context as _, Result};
use burn::module::AutodiffModule;

use crate::eval::ranking::perplexity;
use crate::objective::{Objective, Running};
use crate::stage::corpus::{self, Encoding, Group, Split, Take};
use crate::stage::cuts;
use crate::stage::drawn;
use crate::stage::folder;
use crate::stage::keys::{Keys, SIZE, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::limits;
use crate::stage::measures::{Measure, Measures};
use crate::stage::precision::Bf16;
use crate::train::evaluate;

pub const KIND: Kind = Kind {
    name: "perplexity",
    about: "perplexity of reference replies, their EOS included",
    produces: Produces::Measure,
    // 2: what a chat template has rendered gets no other special tokens.
    version: 2,
    uses_backend: true,
    read,
};

struct Perplexity {
    model: StageRef,
    data: StageRef,
    split: Split,
    max_length: usize,
    bf16: Bf16,
    min_prompt_kept: f64,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Perplexity {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", corpus::EXAMPLES),
        split: Split::read(keys, "test"),
        max_length: keys.usize("max_length", 1024, 2..=SIZE),
        bf16: Bf16::read(keys),
        min_prompt_kept: cuts::read_kept(keys),
    })
}

impl Measure for Perplexity {
    fn measure<B: TrainBackend>(&self, context: &Context, device: &B::Device) -> Result<Measures> {
        let (model, tokenizer) = folder::open::<B>(context.input(&self.model), device)?;
        let data = context.input(&self.data);
        let mut measures = Measures::default();
        let examples = (self.split.examples(data)?, &*context.label);
        let examples = drawn::readable(data, &tokenizer, examples, &mut measures)?;
        let examples = Take::Good.of_all(examples);
        let set = corpus::dataset(
            examples,
            &tokenizer,
            Encoding {
                max_length: self.max_length,
                min_prompt_kept: self.min_prompt_kept,
                group: Group::Dialogue,
                shuffle: false,
            },
            &context.label,
            &context.dir,
            &mut measures,
        )?;
        let longest = set.examples.longest();
        limits::check(&self.model.name, &model.config, longest, self.max_length)?;
        let tokens: usize = (0..set.examples.len())
            .flat_map(|example| set.examples.branches(example))
            .map(|branch| branch.scored())
            .sum();
        let precision = self.bf16.on::<B::InnerBackend>(context, device)?;
        let found = evaluate(
            &model.valid().frozen(precision),
            &set,
            &Objective::Sft,
            8,
            &Running::default(),
        );
        let value = perplexity(found.loss * tokens as f64, tokens as u64)
            .context("no reply to measure perplexity on")?;
        measures.numbers.insert("perplexity".into(), value);
        measures.numbers.insert("tokens".into(), tokens as f64);
        Ok(measures)
    }
}
