//! `failures`: what a model does wrong on feedback prompts, as pairs: the reference reply is chosen, the model's
//! own failing reply rejected.

use anyhow::Result;

use crate::data::{Completion, Example, Prompt, Role};
use crate::stage::corpus::Split;
use crate::stage::judged::prompts;
use crate::stage::judging::Judging;
use crate::stage::keys::{COUNT, Keys, SAMPLES, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::measures::Measures;
use crate::stage::replied::Replied;
use crate::stage::rows::{RowsSettings, write_examples, write_settings};
use crate::stage::sampling::SamplingSettings;

pub const KIND: Kind = Kind {
    name: "failures",
    about: "pairs of a reference reply and a failing reply of the model itself",
    produces: Produces::Pairs,
    version: 1,
    uses_backend: true,
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
            examples => self.skip + examples,
        };
        let mut examples = prompts(data, self.split, wanted)?;
        anyhow::ensure!(
            self.skip < examples.len(),
            "{}: skip is {}, but there are {} prompts",
            context.label,
            self.skip,
            examples.len()
        );
        examples.drain(..self.skip);
        let asked: Vec<Example> = examples
            .iter()
            .flat_map(|example| std::iter::repeat_n(example, self.samples).cloned())
            .collect();
        let requests: Vec<(u64, Prompt)> = (0..)
            .zip(asked.iter().map(|example| example.prompt.clone()))
            .collect();
        let sampled = self.sampling.run(context, &self.model, &requests)?;
        let mut replied: Vec<Replied> = asked
            .iter()
            .zip(&sampled)
            .map(|(example, sampled)| {
                let reference = &example.completions[0].text;
                Replied::new(&example.prompt, reference, &sampled.text)
            })
            .collect();
        let mut measures = Measures::default();
        self.judging
            .judge(context, data, &asked, &mut replied, &mut measures)?;

        let (mut failing, mut again, mut same, mut empty, mut unfinished) = (0, 0, 0, 0, 0);
        let mut pairs: Vec<Example> = Vec::new();
        for ((mut example, reply), sampled) in asked.into_iter().zip(&replied).zip(sampled) {
            if !reply.failed {
                continue;
            }
            failing += 1;
            let rejected = Completion::new(sampled.text, Role::Rejected);
            let before = pairs.iter().rev().take_while(|it| it.id == example.id);
            if rejected.text.trim().is_empty() {
                empty += 1;
            } else if rejected.text.trim() == example.completions[0].text.trim() {
                same += 1;
            } else if before.into_iter().any(|it| it.completions[1] == rejected) {
                again += 1;
            } else {
                unfinished += usize::from(!sampled.finished);
                example.completions.truncate(1);
                example.completions[0].role = Role::Chosen;
                example.completions.push(rejected);
                pairs.push(example);
            }
        }
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
        write_settings(&context.dir, self.rows)?;
        measures.write(&context.dir)
    }
}
