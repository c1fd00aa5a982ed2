//! How far a model has moved from its reference, on its own replies.

use anyhow::Result;
use burn::module::AutodiffModule;

use crate::backend::{self, Work};
use crate::data::Example;
use crate::model::Decoder;
use crate::objective::Objective;
use crate::ops::TrainBackend;
use crate::stage::corpus::{self, Encoding, Group};
use crate::stage::folder;
use crate::stage::keys::StageRef;
use crate::stage::kind::Context;
use crate::stage::measures::Measures;
use crate::train::branch_logps;

/// One reply's log-probability, EOS included.
pub struct Moved {
    pub policy: f64,
    pub reference: f64,
    /// Tokens that it is of.
    pub tokens: usize,
}

impl Moved {
    /// The policy's log-ratio to the reference. Its mean estimates the KL from policy to reference, in nats a
    /// reply, without bias where the replies were sampled from the policy at temperature 1.
    pub fn log_ratio(&self) -> f64 {
        self.policy - self.reference
    }
}

/// Scores finished replies under a policy and its reference, `models`, one each example.
///
/// # Errors
/// A model or a reply that cannot be read.
pub fn moved(
    context: &Context,
    models: [&StageRef; 2],
    replies: Vec<Example>,
    max_length: usize,
    measures: &mut Measures,
) -> Result<Vec<Moved>> {
    let work = Both {
        context,
        models,
        replies,
        max_length,
        measures,
    };
    backend::dispatch(&context.backend, work)?
}

struct Both<'a> {
    context: &'a Context,
    models: [&'a StageRef; 2],
    replies: Vec<Example>,
    max_length: usize,
    measures: &'a mut Measures,
}

impl Work for Both<'_> {
    type Output = Result<Vec<Moved>>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
        let context = self.context;
        let [policy, reference] = self.models.map(|model| context.input(model));
        let (policy, tokenizer) = folder::open::<B>(policy, device)?;
        let encoding = Encoding {
            max_length: self.max_length,
            // Sampling has refused prompts that are too long.
            min_prompt_kept: 0.0,
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
        let reference = score(&folder::open::<B>(reference, device)?.0)?;
        let both = policy.iter().zip(&reference).enumerate();
        Ok(both
            .map(|(example, (policy, reference))| Moved {
                policy: f64::from(policy[0]),
                reference: f64::from(reference[0]),
                tokens: set.examples.branches(example).map(|it| it.scored()).sum(),
            })
            .collect())
    }
}
