//! `rank`: persona consistency in the Dialogue-NLI shape, by the likeliest of each item's candidates.

use anyhow::{Context as _, Result};

use crate::data::template::persona_prompt;
use crate::data::{Completion, Example, RankingItem, Role};
use crate::engine::Frozen;
use crate::eval::ranking::{By, HITS_ENTAIL, LABELS, Rates, Scored, indicators, rank};
use crate::stage::artifact::folder::LanguageModel;
use crate::stage::artifact::measures::{Measure, Measures};
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{BATCH, Keys, SIZE, StageRef};
use crate::stage::settings::lengths;
use crate::stage::settings::precision::Bf16;
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::{Group, ItemSplit};
use crate::stage::work::tokens::dataset::{self, Encoding};
use crate::stage::work::tokens::limits;
use crate::store::{BadInput, Progress, read_jsonl, write_jsonl};

pub const KIND: Kind = Kind {
    name: "rank",
    about: "which candidate reply the model finds likeliest: Hits, Entail, Random, Contradict",
    produces: Produces::Measure,
    // 2: all candidates of an item see the same of its prompt.
    version: 2,
    uses_backend: true,
    modules: modules::SCORING,
    read,
};

struct Rank {
    model: StageRef,
    data: StageRef,
    items: ItemSplit,
    max_length: usize,
    min_prompt_kept: f64,
    batch_size: usize,
    bf16: Bf16,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Rank {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", &[Produces::Dialogues]),
        items: ItemSplit::read(keys),
        max_length: keys.usize("max_length", 1024, 2..=SIZE),
        min_prompt_kept: lengths::read_kept(keys),
        batch_size: keys
            .doc("items scored at once; does not change the result")
            .usize("per_device_eval_batch_size", 4, 1..=BATCH),
        bf16: Bf16::read(keys),
    })
}

impl Measure for Rank {
    fn measure(&self, context: &Context) -> Result<Measures> {
        let Rank {
            model,
            data,
            items,
            max_length,
            min_prompt_kept,
            batch_size,
            bf16,
        } = self;
        let name = &model.name;
        let LanguageModel {
            dir,
            config,
            tokenizer,
        } = LanguageModel::read(context.input(model))?;
        let path = context.input(data).join(items.name());
        let items: Vec<RankingItem> = match path.exists() {
            true => read_jsonl(&path)?,
            false => Vec::new(),
        };
        if items.is_empty() {
            let message = format!(
                "@{} keeps no ranking items of that split; items = \"test\" reads all that it has, \
                 valid_items of persona-files keeps some for validation",
                data.name
            );
            return Err(BadInput(message).into());
        }
        let mut measures = Measures::default();
        let set = dataset::dataset(
            items.iter().map(|item| Ok(example(item))),
            &tokenizer,
            Encoding {
                max_length: *max_length,
                min_prompt_kept: *min_prompt_kept,
                group: Group::None,
                shuffle: false,
            },
            &context.label,
            &context.dir,
            &mut measures,
        )?;
        limits::check(name, &config, set.examples.longest(), *max_length)?;
        let model = Frozen::open(bf16.device(&context.backend), &dir)?;
        let progress = Progress::new(&context.label, items.len());
        let logps = model.logps(&set, *batch_size, |done| {
            progress.at(done.min(items.len()));
            !context.stop.requested()
        });
        progress.finish();
        context.stop.check()?;
        let mut ranked = Vec::with_capacity(items.len());
        for ((index, item), logps) in items.iter().enumerate().zip(logps.unwrap_or_default()) {
            let scored: Vec<Scored> = item
                .candidates
                .iter()
                .zip(set.examples.branches(index))
                .zip(logps)
                .map(|(((_, label), branch), logp)| Scored {
                    label: label.clone(),
                    logp: f64::from(logp),
                    tokens: branch.scored(),
                })
                .collect();
            ranked.push(rank(&scored).with_context(|| format!("item {}", item.id))?);
        }
        write_jsonl(&context.dir.join("ranked.jsonl"), &ranked)?;
        for label in LABELS.into_iter().chain([HITS_ENTAIL]) {
            let by_mean = format!("{label}_per_token");
            measures.mean(label, indicators(&ranked, label, By::Sum));
            measures.mean(&by_mean, indicators(&ranked, label, By::Mean));
        }
        let rates = Rates::of(&ranked);
        measures.note(format!(
            "{} items; ties: {} by sum, {} per token (the first candidate wins)",
            rates.items, rates.ties_sum, rates.ties_mean
        ));
        Ok(measures)
    }
}

fn example(item: &RankingItem) -> Example {
    Example {
        id: item.id.clone(),
        group: item.id.clone(),
        prompt: persona_prompt(&item.persona, &item.history),
        completions: item
            .candidates
            .iter()
            .map(|(text, label)| {
                Completion::new(format!(" {text}"), Role::Candidate(label.clone()))
            })
            .collect(),
        meta: Default::default(),
    }
}
