//! How far a model has moved from its reference, on its own replies.

use anyhow::Result;

use crate::engine::Frozen;
use crate::model::forest::Branch;
use crate::stage::artifact::folder::LanguageModel;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::sampled::Sampled;
use crate::stage::kind::Context;
use crate::stage::settings::keys::StageRef;
use crate::stage::settings::precision::Bf16;
use crate::train::{Dataset, ExamplesWriter, Units};

/// Replies scored at once.
const BATCH: usize = 32;

/// One reply's log-probability, EOS included.
pub struct LogRatio {
    pub policy: f64,
    pub reference: f64,
    /// Tokens that it is of.
    pub tokens: usize,
}

impl LogRatio {
    /// The policy's log-ratio to the reference. Its mean estimates the KL from policy to reference, in nats a
    /// reply, without bias where the replies were sampled from the policy at temperature 1.
    pub fn log_ratio(&self) -> f64 {
        self.policy - self.reference
    }
}

/// Scores replies under a policy and its reference, `models`: the very tokens that were drawn, after the prompt that
/// they were drawn after. Those of more than `max_length` tokens with their prompt are left out and counted.
///
/// # Errors
/// A model that cannot be read, and a stop that was asked for.
pub fn log_ratios(
    context: &Context,
    models: [&StageRef; 2],
    replies: &[&Sampled],
    (max_length, bf16): (usize, Bf16),
    measures: &mut Measures,
) -> Result<Vec<LogRatio>> {
    let fits = |reply: &&&Sampled| reply.prompt.len() + reply.tokens.len() <= max_length;
    let mut writer = ExamplesWriter::memory();
    let mut count = 0;
    for reply in replies.iter().filter(fits) {
        let tokens = [&reply.prompt[..], &reply.tokens].concat();
        writer.push([Branch::new(&tokens, reply.prompt.len())])?;
        count += 1;
    }
    if count < replies.len() {
        measures.note(format!(
            "{} replies of more than max_length ({max_length}) tokens with their prompt are left out of kl",
            replies.len() - count
        ));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let set = Dataset {
        examples: writer.finish()?,
        units: Units::Single(count),
        shuffle: false,
    };
    let score = |model: &StageRef| -> Result<Vec<Vec<f32>>> {
        let LanguageModel { dir, .. } = LanguageModel::read(context.input(model))?;
        let model = Frozen::open(bf16.device(&context.backend), &dir)?;
        let logps = model.logps(&set, BATCH, |_| !context.stop.requested());
        context.stop.check()?;
        Ok(logps.unwrap_or_default())
    };
    let [policy, reference] = models.map(score);
    let both = policy?.into_iter().zip(reference?).enumerate();
    Ok(both
        .map(|(example, (policy, reference))| LogRatio {
            policy: f64::from(policy[0]),
            reference: f64::from(reference[0]),
            tokens: set.examples.branches(example).map(|it| it.scored()).sum(),
        })
        .collect())
}
