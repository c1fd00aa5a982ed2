//! Replies of a model to examples: sampled, and beside their references as they are measured and kept.

use anyhow::Result;

use crate::data::{Example, Prompt};
use crate::stage::artifact::folder::same_tokenizer;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::replied::{Replied, measure_text};
use crate::stage::artifact::sampled::Sampled;
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;
use crate::stage::settings::sampling::SamplingSettings;

/// Examples, and one reply to each.
pub struct Samples {
    pub examples: Vec<Example>,
    pub sampled: Vec<Sampled>,
    /// The same as they are kept for the report, to be judged.
    pub replied: Vec<Replied>,
}

impl Samples {
    /// Samples a reply to each example from a model; its reference, where it has one, is to read prompt and reply afterwards.
    ///
    /// # Errors
    /// As [`SamplingSettings::run`], and a reference with another tokenizer.
    pub fn draw(
        sampling: &SamplingSettings,
        context: &Context,
        (model, reference): (&StageRef, Option<&StageRef>),
        examples: Vec<Example>,
        measures: &mut Measures,
    ) -> Result<Self> {
        if let Some(reference) = reference {
            same_tokenizer(context, model, reference)?;
        }
        let prompts = examples.iter().map(|example| example.prompt.clone());
        let asked: Vec<(u64, Prompt)> = (0..).zip(prompts).collect();
        let models = (model, reference.as_slice());
        let sampled = sampling.run(context, models, &asked, measures)?;
        let both = examples.iter().zip(&sampled);
        let replied = both.map(|(example, sampled)| {
            let reference = &example.completions[0].text;
            Replied::new(&example.prompt, reference, sampled)
        });
        Ok(Self {
            replied: replied.collect(),
            examples,
            sampled,
        })
    }

    /// Measures what the replies' surface shows, which is due before they are compared with others: `finished`, their length
    /// and variety.
    pub fn measure(&self, measures: &mut Measures) {
        let finished = self.sampled.iter();
        let finished = finished.map(|it| f64::from(u8::from(it.finished)));
        measures.mean("finished", finished.collect());
        measure_text(&self.replied, measures);
    }

    /// Writes `replies.jsonl` and the stage's measures.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(&self, context: &Context, measures: &Measures) -> Result<()> {
        Replied::write(&context.dir, &self.replied)?;
        measures.write(&context.dir)
    }
}
