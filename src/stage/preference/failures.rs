//! `failures`: what a model does wrong on feedback prompts, as pairs: the reference reply is chosen, the model's
//! own failing reply rejected.

use anyhow::{Result, ensure};

use crate::data::{Example, Role, Tokenizer};
use crate::stage::artifact::drawn;
use crate::stage::artifact::examples::prompts;
use crate::stage::artifact::examples::{
    RowsSettings, kwargs, write_examples, write_kwargs, write_settings,
};
use crate::stage::artifact::folder::model_dir;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, SAMPLES, StageRef};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::sampling::SamplingSettings;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::work::judge::judging::Judging;
use crate::stage::work::samples::Samples;

pub const KIND: Kind = Kind {
    name: "failures",
    about: "pairs of a reference reply and a failing reply of the model itself",
    produces: Produces::Pairs,
    // 2: the failing replies are their tokens.
    version: 2,
    uses_backend: true,
    modules: modules::JUDGING,
    read,
};

struct Failures {
    model: StageRef,
    data: StageRef,
    split: Split,
    skip: usize,
    examples: usize,
    samples: usize,
    sampling: SamplingSettings,
    judging: Judging,
    rows: RowsSettings,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Failures {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", &[Produces::Pairs]),
        split: Split::read(keys, "feedback"),
        skip: keys
            .doc("prompts left out at the front, such as those of earlier rounds")
            .usize("skip", 0, 0..=COUNT),
        examples: keys
            .doc("prompts replied to; 0: all")
            .usize("examples", 0, 0..=COUNT),
        samples: keys
            .doc("replies sampled for each prompt")
            .usize("samples", 1, 1..=SAMPLES),
        sampling: SamplingSettings::read(keys),
        judging: Judging::read(keys),
        rows: RowsSettings {
            shuffle: keys.bool("shuffle", true),
            by_dialogue: keys.choice("group", "none", &["none", "dialogue"]) == "dialogue",
            by_row: false,
        },
    })
}

impl Stage for Failures {
    fn run(&self, context: &Context) -> Result<()> {
        let data = context.input(&self.data);
        let wanted = match self.examples {
            0 => 0,
            examples => self.skip.saturating_add(examples),
        };
        let mut examples = prompts(data, self.split, wanted, Group::None)?;
        ensure!(
            self.skip < examples.len(),
            "skip is {}, but there are {} prompts",
            self.skip,
            examples.len()
        );
        examples.drain(..self.skip);
        let mut measures = Measures::default();
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.model)))?;
        let known = (examples, &*context.label);
        let examples = drawn::all_readable(data, &tokenizer, known, &mut measures)?;
        let asked: Vec<Example> = examples
            .iter()
            .flat_map(|example| std::iter::repeat_n(example, self.samples).cloned())
            .collect();
        let model = (&self.model, None);
        let Samples {
            examples: asked,
            sampled,
            mut replied,
        } = Samples::draw(&self.sampling, context, model, asked, &mut measures)?;
        self.judging
            .judge(context, data, &asked, &mut replied, &mut measures)?;

        let (mut failing, mut again, mut same, mut empty, mut unfinished) = (0, 0, 0, 0, 0);
        let mut pairs: Vec<Example> = Vec::new();
        for ((mut example, reply), sampled) in asked.into_iter().zip(&replied).zip(sampled) {
            if !reply.failed {
                continue;
            }
            failing += 1;
            let rejected = sampled.completion(Role::Rejected);
            let text = rejected.text.trim();
            let before = pairs.iter().rev().take_while(|it| it.id == example.id);
            if text.is_empty() {
                empty += 1;
            } else if text == example.completions[0].text.trim() {
                same += 1;
            } else if before
                .into_iter()
                .any(|it| it.completions[1].text.trim() == text)
            {
                again += 1;
            } else {
                unfinished += usize::from(!sampled.finished);
                example.completions.truncate(1);
                example.completions[0].role = Role::Chosen;
                example.completions.push(rejected);
                pairs.push(example);
            }
        }
        ensure!(
            !pairs.is_empty(),
            "no pair is left: {failing} of {} replies fail, of which {empty} are empty and {same} like the \
             reference; raise examples, samples or temperature",
            replied.len()
        );
        measures.note(format!(
            "{} replies to {} prompts, {failing} failing: {} pairs ({empty} empty replies, {again} repeated ones \
             and {same} like the reference dropped, {unfinished} kept that max_new_tokens ended)",
            replied.len(),
            examples.len(),
            pairs.len()
        ));
        let numbers = &mut measures.numbers;
        numbers.insert("replies".into(), replied.len() as f64);
        numbers.insert("failing".into(), failing as f64);
        numbers.insert("pairs".into(), pairs.len() as f64);
        write_examples(&context.dir, Split::Train, pairs.into_iter().map(Ok))?;
        drawn::write(&context.dir, &tokenizer)?;
        write_settings(&context.dir, self.rows)?;
        write_kwargs(&context.dir, &kwargs(context.input(&self.data))?)?;
        measures.write(&context.dir)
    }
}
