//! `judge`: replies sampled from a model, judged by what knows the truth or by an endpoint, and how far the
//! model has moved from its reference.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Result, ensure};
use burn::module::AutodiffModule;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::backend::{self, Work};
use crate::data::{Completion, Example, Prompt, Role};
use crate::model::Decoder;
use crate::objective::Objective;
use crate::ops::TrainBackend;
use crate::stage::corpus::{self, Encoding, Group, Split};
use crate::stage::folder::{self, same_tokenizer};
use crate::stage::judging::Judging;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::measures::Measures;
use crate::stage::replied::{Replied, measure_text};
use crate::stage::sampling::SamplingSettings;
use crate::train::branch_logps;

pub const KIND: Kind = Kind {
    name: "judge",
    about: "sampled replies, judged for adherence, naturalness and hallucination",
    produces: Produces::Measure,
    version: 1,
    uses_backend: true,
    read,
};

struct Judged {
    model: StageRef,
    data: StageRef,
    reference: Option<StageRef>,
    split: Split,
    examples: usize,
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
        split: Split::read(keys, "test"),
        examples: keys
            .doc("prompts replied to, the same for every model and seed; 0: all")
            .usize("examples", 400, 0..),
        max_length: keys
            .doc("tokens of prompt and reply where the reference scores them")
            .usize("max_length", 1024, 2..),
        sampling: SamplingSettings::read(keys),
        judging: Judging::read(keys),
    })
}

/// A split's examples, one a prompt, in an order that is the same for every model and seed; `limit` of them, 0
/// for all.
///
/// # Errors
/// When there are none, or they cannot be read.
pub fn prompts(artifact: &Path, split: Split, limit: usize) -> Result<Vec<Example>> {
    let mut seen = HashSet::new();
    let mut examples = Vec::new();
    for example in split.examples(artifact)? {
        let example = example?;
        if seen.insert(blake3::hash(example.prompt.text().as_bytes())) {
            examples.push(example);
        }
    }
    ensure!(
        !examples.is_empty(),
        "{}: its {} split is empty",
        artifact.display(),
        split.name()
    );
    examples.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    if limit > 0 {
        examples.truncate(limit);
    }
    Ok(examples)
}

impl Stage for Judged {
    fn run(&self, context: &Context) -> Result<()> {
        if let Some(reference) = &self.reference {
            same_tokenizer(context, &self.model, reference)?;
        }
        let data = context.input(&self.data);
        let examples = prompts(data, self.split, self.examples)?;
        let asked: Vec<(u64, Prompt)> = (0..)
            .zip(examples.iter().map(|example| example.prompt.clone()))
            .collect();
        let sampled = self.sampling.run(context, &self.model, &asked)?;
        let mut measures = Measures::default();
        measures.mean(
            "finished",
            sampled
                .iter()
                .map(|it| f64::from(u8::from(it.finished)))
                .collect(),
        );
        let mut replied: Vec<Replied> = examples
            .iter()
            .zip(&sampled)
            .map(|(example, sampled)| {
                let reference = &example.completions[0].text;
                Replied::new(&example.prompt, reference, &sampled.text)
            })
            .collect();
        self.judging
            .judge(context, data, &examples, &mut replied, &mut measures)?;
        measure_text(&replied, &mut measures);
        if let Some(reference) = &self.reference {
            let finished = examples.into_iter().zip(sampled);
            let finished = finished.filter(|(_, reply)| reply.finished && !reply.text.is_empty());
            let replies = finished.map(|(example, reply)| Example {
                completions: vec![Completion {
                    text: reply.text,
                    role: Role::Reply,
                }],
                ..example
            });
            let replies: Vec<Example> = replies.collect();
            let (count, asked) = (replies.len(), replied.len());
            measures.note(format!(
                "kl: over the {count} of {asked} replies that are finished and not empty"
            ));
            if count > 0 {
                let work = Moved {
                    stage: self,
                    reference,
                    context,
                    replies,
                    measures: &mut measures,
                };
                let moved = backend::dispatch(&context.backend, work)??;
                let mean = moved.iter().sum::<f64>() / count as f64;
                measures.numbers.insert("kl".into(), mean);
            }
        }
        Replied::write(&context.dir, &replied)?;
        measures.write(&context.dir)
    }
}

/// How far the model has moved: its log-ratio to the reference on each of its own finished replies, their EOS
/// included. The mean estimates the KL from model to reference, in nats a reply, without bias where the
/// replies were sampled at temperature 1.
struct Moved<'a> {
    stage: &'a Judged,
    reference: &'a StageRef,
    context: &'a Context,
    replies: Vec<Example>,
    measures: &'a mut Measures,
}

impl Work for Moved<'_> {
    type Output = Result<Vec<f64>>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
        let context = self.context;
        let (policy, tokenizer) = folder::open::<B>(context.input(&self.stage.model), device)?;
        let encoding = Encoding {
            max_length: self.stage.max_length,
            group: Group::None,
            shuffle: false,
        };
        let set = corpus::dataset(
            self.replies.into_iter().map(Ok),
            &tokenizer,
            encoding,
            &context.label,
            &context.dir,
            self.measures,
        )?;
        let score = |model: &Decoder<B>| -> Result<Vec<Vec<f32>>> {
            let progress = |_| !context.stop.requested();
            let logps = branch_logps(&model.valid(), &set, &Objective::Sft, 32, progress);
            context.stop.check()?;
            Ok(logps.unwrap_or_default())
        };
        let policy = score(&policy)?;
        let reference = score(&folder::open::<B>(context.input(self.reference), device)?.0)?;
        let ratio = |(policy, reference): (&Vec<f32>, &Vec<f32>)| {
            f64::from(policy[0]) - f64::from(reference[0])
        };
        Ok(policy.iter().zip(&reference).map(ratio).collect())
    }
}
