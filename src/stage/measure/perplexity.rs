//! `perplexity`: of the reference replies of a split, given persona and history.

use anyhow::{Context as _, Result};

use crate::engine::Frozen;
use crate::eval::ranking::perplexity;
use crate::stage::artifact::drawn;
use crate::stage::artifact::examples::Take;
use crate::stage::artifact::folder::LanguageModel;
use crate::stage::artifact::measures::{Measure, Measures};
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{Keys, SIZE, StageRef};
use crate::stage::settings::lengths;
use crate::stage::settings::precision::Bf16;
use crate::stage::settings::produces::{EXAMPLES, Produces};
use crate::stage::settings::splits::{Group, Split};
use crate::stage::work::tokens::dataset::{self, Encoding};
use crate::stage::work::tokens::limits;

/// Units scored at once.
const BATCH: usize = 8;

pub const KIND: Kind = Kind {
    name: "perplexity",
    about: "perplexity of reference replies, their EOS included",
    produces: Produces::Measure,
    // 2: what a chat template has rendered gets no other special tokens.
    version: 2,
    uses_backend: true,
    modules: modules::SCORING,
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
        data: keys.stage("data", EXAMPLES),
        split: Split::read(keys, "test"),
        max_length: keys.usize("max_length", 1024, 2..=SIZE),
        bf16: Bf16::read(keys),
        min_prompt_kept: lengths::read_kept(keys),
    })
}

impl Measure for Perplexity {
    fn measure(&self, context: &Context) -> Result<Measures> {
        let LanguageModel {
            dir,
            config,
            tokenizer,
        } = LanguageModel::read(context.input(&self.model))?;
        let data = context.input(&self.data);
        let mut measures = Measures::default();
        let examples = (self.split.examples(data)?, &*context.label);
        let examples = drawn::readable(data, &tokenizer, examples, &mut measures)?;
        let examples = Take::Good.of_all(examples);
        let set = dataset::dataset(
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
        limits::check(&self.model.name, &config, longest, self.max_length)?;
        let tokens: usize = (0..set.examples.len())
            .flat_map(|example| set.examples.branches(example))
            .map(|branch| branch.scored())
            .sum();
        let model = Frozen::open(self.bf16.device(&context.backend), &dir)?;
        let found = model.evaluate(&set, BATCH);
        let value = perplexity(found.loss * tokens as f64, tokens as u64)
            .context("no reply to measure perplexity on")?;
        measures.numbers.insert("perplexity".into(), value);
        measures.numbers.insert("tokens".into(), tokens as f64);
        Ok(measures)
    }
}
