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

/// Units scored at once.
const BATCH: usize = 8;
/// The most replies of a unit.
const MOST: usize = 16;

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
    let fitting: Vec<&Sampled> = replies.iter().filter(fits).copied().collect();
    let mut writer = ExamplesWriter::memory();
    for reply in &fitting {
        let tokens = [&reply.prompt[..], &reply.tokens].concat();
        writer.push([Branch::new(&tokens, reply.prompt.len())])?;
    }
    if fitting.len() < replies.len() {
        measures.note(format!(
            "{} replies of more than max_length ({max_length}) tokens with their prompt are left out of kl",
            replies.len() - fitting.len()
        ));
    }
    if fitting.is_empty() {
        return Ok(Vec::new());
    }
    let prompts: Vec<&[u32]> = fitting.iter().map(|it| &it.prompt[..]).collect();
    let set = Dataset {
        examples: writer.finish()?,
        units: Units::of(&alike(&prompts)),
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

/// The unit of each prompt. Those that share half of their tokens with one of a unit are in it too, so that what a dialogue's
/// prompts begin with is computed once.
fn alike(prompts: &[&[u32]]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&at| prompts[at]);
    let mut units = vec![0; prompts.len()];
    let (mut unit, mut members, mut before) = (0, 0, prompts[order[0]]);
    for at in order {
        let prompt = prompts[at];
        let both = before.iter().zip(prompt);
        let shared = both.take_while(|(a, b)| a == b).count();
        if members == MOST || 2 * shared < prompt.len().max(before.len()) {
            (unit, members) = (unit + 1, 0);
        }
        units[at] = unit;
        (members, before) = (members + 1, prompt);
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_that_go_on_from_one_another_are_one_unit() {
        let (first, other) = ([1, 2, 3], [1, 9, 9]);
        let prompts: [&[u32]; 5] = [&[1, 2, 3, 4], &other, &first, &[1, 2, 3, 4, 5, 6], &other];
        assert_eq!(alike(&prompts), [0, 1, 0, 0, 1]);
        let same = [&first[..]; 2 * MOST + 1];
        let units = alike(&same);
        let members = |unit| units.iter().filter(|it| **it == unit).count();
        assert_eq!([0, 1, 2].map(members), [MOST, MOST, 1]);
    }
}
