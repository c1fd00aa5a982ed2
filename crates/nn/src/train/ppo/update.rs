//! One update: the loss of a minibatch, its gradient, and what is worth logging of it.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Tensor, TensorData};

use crate::model::forest::Forest;
use crate::model::{score, weights};
use crate::ops::{Ops, TrainBackend};
use crate::train::ppo::actor_critic::{ActorCritic, States};
use crate::train::ppo::kl::k3;
use crate::train::ppo::losses;
use crate::train::ppo::rollout::{Episode, forest, replies};
use crate::train::ppo::settings::{Algorithm, Average, PpoSettings};
use crate::train::ppo::targets::{ScoredEpisodes, Targets};
use crate::train::recompute::through;

/// A step's replies and what their updates aim at.
pub struct Step<'a> {
    pub settings: &'a PpoSettings,
    pub episodes: &'a [Episode],
    pub known: &'a ScoredEpisodes,
    pub targets: &'a Targets,
}

/// Means over a minibatch's tokens; those of RLOO's loss, ratio and clipping over its replies.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Update {
    /// What the policy's loss was, GRPO's KL term included, the entropy bonus left out.
    pub policy_loss: f64,
    pub value_loss: f64,
    pub entropy: f64,
    /// Half the mean squared change of the tokens' log-probs.
    pub approxkl: f64,
    pub clipfrac: f64,
    pub value_clipfrac: f64,
    pub ratio: f64,
}

/// What a minibatch's sums are divided by.
#[derive(Clone, Copy)]
struct Size {
    replies: usize,
    tokens: usize,
}

impl Step<'_> {
    /// The gradient of a minibatch, given as the groups of each of its parts.
    ///
    /// Every part is divided by the whole minibatch's counts, so that the sum is the gradient of all its
    /// replies at once.
    pub fn gradients<B: TrainBackend>(
        &self,
        model: &ActorCritic<B>,
        minibatch: &[Vec<usize>],
    ) -> (GradientsParams, Update) {
        let generations = self.settings.num_generations;
        let all = || {
            minibatch
                .iter()
                .flat_map(|groups| replies(groups, generations))
        };
        let size = Size {
            replies: all().count(),
            tokens: all().map(|reply| self.episodes[reply].drawn()).sum(),
        };
        let mut accumulator = GradientsAccumulator::new();
        let mut update = Update::default();
        for groups in minibatch {
            let forest = forest(self.episodes, groups, generations);
            let gradients = through(model, &model.decoders(), &forest, |hidden| {
                let states = model.states(hidden, &forest, self.settings.sampling.temperature);
                self.loss(model, groups, (&forest, states), size, &mut update)
            });
            accumulator.accumulate(model, gradients);
        }
        (accumulator.grads(), update)
    }

    /// The part of the loss that is some groups', `[1]`, given their forest and what the model says of it; adds to
    /// `update`.
    fn loss<B: TrainBackend>(
        &self,
        model: &ActorCritic<B>,
        groups: &[usize],
        (forest, states): (&Forest, States<B>),
        size: Size,
        update: &mut Update,
    ) -> Tensor<B, 1> {
        let settings = self.settings;
        let members: Vec<usize> = replies(groups, settings.num_generations).collect();
        let device = model.policy.embed.val().device();
        let vector = |values: Vec<f32>| {
            let length = values.len();
            Tensor::<B, 1>::from_data(TensorData::new(values, [length]), &device)
        };
        let of = |values: &[Vec<f64>]| {
            let values = members.iter().flat_map(|&reply| &values[reply]);
            vector(values.map(|&value| value as f32).collect())
        };
        let per_token = 1.0 / size.tokens as f64;

        let moved = states.logps.clone() - of(&self.known.logps);
        let by_reply = settings.algorithm.by_reply();
        let log_ratio = match by_reply {
            true => score::branch_logps(moved.clone(), forest),
            false => moved.clone(),
        };
        let advantages = of(&self.targets.advantages);
        let clipped = losses::policy(log_ratio.clone(), advantages, settings.cliprange);
        let shares = vector(self.shares(&members, size));
        let mut policy = clipped.losses.mul(shares.clone()).sum();
        if let Algorithm::Grpo(grpo) = &settings.algorithm
            && grpo.beta > 0.0
        {
            let kl = k3(states.logps, of(&self.known.reference));
            policy = policy + kl.mul(shares).sum().mul_scalar(grpo.beta);
        }
        update.policy_loss += sum(policy.clone().inner());
        let per_ratio = match by_reply {
            true => 1.0 / size.replies as f64,
            false => per_token,
        };
        update.clipfrac += per_ratio * sum(clipped.clipped.inner());
        update.ratio += per_ratio * sum(log_ratio.inner().exp());
        let moved = weights::host(moved.inner()).into_iter();
        update.approxkl += 0.5 * per_token * moved.map(|it| f64::from(it).powi(2)).sum::<f64>();

        let mut loss = policy;
        if let (Algorithm::Ppo(ppo), Some(values)) = (&settings.algorithm, states.values) {
            let (old, returns) = (of(&self.known.values), of(&self.targets.returns));
            let clipped = losses::value(values, old, returns, ppo.cliprange_value);
            let mean = clipped.losses.sum().mul_scalar(per_token);
            update.value_loss += sum(mean.clone().inner());
            update.value_clipfrac += per_token * sum(clipped.clipped.inner());
            loss = loss + mean.mul_scalar(ppo.vf_coef);
        }
        let precision = model.policy.compute.precision;
        let [tempered, head] = [states.tempered, model.policy.head()].map(|x| precision.lower(x));
        let cap = model.policy.soft_cap(settings.sampling.temperature);
        let entropy = if settings.entropy_coef > 0.0 {
            let entropy = B::entropy(tempered, head, cap);
            let bonus = entropy
                .clone()
                .sum()
                .mul_scalar(per_token * settings.entropy_coef);
            loss = loss - bonus;
            entropy.inner()
        } else {
            B::InnerBackend::entropy(tempered.inner(), head.inner(), cap)
        };
        update.entropy += per_token * sum(entropy);
        loss
    }

    /// What each entry of the policy's loss weighs: tokens, or for RLOO replies.
    fn shares(&self, members: &[usize], size: Size) -> Vec<f32> {
        let replies = size.replies as f64;
        let share = |drawn: usize| match &self.settings.algorithm {
            Algorithm::Rloo(_) => 1.0 / replies,
            Algorithm::Ppo(_) => 1.0 / size.tokens as f64,
            Algorithm::Grpo(grpo) => match grpo.loss_type {
                Average::Tokens => 1.0 / size.tokens as f64,
                Average::Replies => 1.0 / (replies * drawn as f64),
                Average::Room => 1.0 / (replies * self.settings.sampling.max_new_tokens as f64),
            },
        };
        let entries = |&reply: &usize| {
            let drawn = self.episodes[reply].drawn();
            let count = if self.settings.algorithm.by_reply() {
                1
            } else {
                drawn
            };
            std::iter::repeat_n(share(drawn) as f32, count)
        };
        members.iter().flat_map(entries).collect()
    }
}

/// The sum of a vector, on the host and in f64.
fn sum<B: Ops>(values: Tensor<B, 1>) -> f64 {
    weights::host(values).into_iter().map(f64::from).sum()
}
