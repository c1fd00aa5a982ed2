//! `judge`: replies sampled from a model, judged by what knows the truth or by an endpoint, and how far the
//! model has moved from its reference.

use anyhow::Result;

use crate::stage::artifact::examples::prompts;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::sampled::Sampled;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, SIZE, StageRef};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::sampling::SamplingSettings;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::work::fluency;
use crate::stage::work::judge::judging::Judging;
use crate::stage::work::kl::{LogRatio, log_ratios};
use crate::stage::work::samples::Samples;

pub const KIND: Kind = Kind {
    name: "judge",
    about: "sampled replies, judged for adherence, naturalness and hallucination",
    produces: Produces::Measure,
    // 2: kl is of the tokens that were drawn, after the prompt as it was read.
    version: 2,
    uses_backend: true,
    modules: modules::JUDGING,
    read,
};

struct Judged {
    model: StageRef,
    data: StageRef,
    reference: Option<StageRef>,
    fluency: Option<StageRef>,
    split: Split,
    examples: usize,
    group: Group,
    max_length: usize,
    sampling: SamplingSettings,
    judging: Judging,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Judged {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", &[Produces::Pairs]),
        reference: keys
            .doc("the model it was trained from: measures how far it has moved (kl)")
            .optional_stage("reference", &[Produces::Model]),
        fluency: keys
            .doc("a language model: how likely it finds the replies, without the guardrails (fluency.reply)")
            .optional_stage("fluency", &[Produces::Model]),
        split: Split::read(keys, "test"),
        examples: keys
            .doc("prompts replied to, the same for every model and seed; 0: all")
            .usize("examples", 400, 0..=COUNT),
        group: Group::read_as(
            keys,
            "how prompts are drawn: one by one, or by dialogue, whose prompts share what they begin with",
            "none",
        ),
        max_length: keys
            .doc("most tokens that a reply and its prompt have where kl counts them and fluency reads them")
            .usize("max_length", 1024, 2..=SIZE),
        sampling: SamplingSettings::read(keys),
        judging: Judging::read(keys),
    })
}

impl Stage for Judged {
    fn run(&self, context: &Context) -> Result<()> {
        let data = context.input(&self.data);
        let examples = prompts(data, self.split, self.examples, self.group)?;
        if self.fluency.is_some() {
            fluency::check(&examples)?;
        }
        let mut measures = Measures::default();
        let models = (&self.model, self.reference.as_ref());
        let mut samples = Samples::draw(&self.sampling, context, models, examples, &mut measures)?;
        let (examples, replied) = (&samples.examples, &mut samples.replied);
        self.judging
            .judge(context, data, examples, replied, &mut measures)?;
        if let Some(reference) = &self.reference {
            let finished = samples.sampled.iter();
            let finished = finished.filter(|reply| reply.finished && !reply.text.is_empty());
            let replies: Vec<&Sampled> = finished.collect();
            let (count, asked) = (replies.len(), samples.replied.len());
            measures.note(format!(
                "kl: over the {count} of {asked} replies that are finished and not empty"
            ));
            let models = [&self.model, reference];
            let how = (self.max_length, self.sampling.bf16);
            let moved = log_ratios(context, models, &replies, how, &mut measures)?;
            if !moved.is_empty() {
                let mean = moved.iter().map(LogRatio::log_ratio).sum::<f64>() / moved.len() as f64;
                measures.numbers.insert("kl".into(), mean);
            }
        }
        if let Some(model) = &self.fluency {
            let replies = (&samples.examples[..], &samples.replied[..]);
            let how = (self.max_length, self.sampling.bf16);
            fluency::measure(context, model, replies, how, &mut measures)?;
        }
        samples.measure(&mut measures);
        samples.finish(context, &measures)
    }
}
