//! One run of reinforcement learning, from model folders to the policy's weights.

use std::path::Path;

use anyhow::Result;
use burn::module::AutodiffModule;

use crate::backend::{self, Work};
use crate::engine::{Device, Trained, open};
use crate::ops::TrainBackend;
use crate::train::ppo::{self, ActorCritic, PpoJob, PpoOutcome, RewardFunction, ValueHead};

/// The folders of the models that a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct PpoModels<'a> {
    /// What is trained.
    pub policy: &'a Path,
    /// What it is held to, where it is not the policy as it starts.
    pub reference: Option<&'a Path>,
    pub values: Values<'a>,
}

/// What values are read from.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// There are none.
    Nothing,
    /// The policy's own hidden states.
    Policy,
    /// Those of a second model, which starts from the weights of that folder.
    Own(&'a Path),
}

/// Trains a policy on what `reward` says of its replies, or goes on from the checkpoint in the job's folder.
///
/// # Errors
/// As [`Frozen::open`](super::Frozen::open) and [`ppo::train`].
pub fn ppo(
    device: Device<'_>,
    models: PpoModels<'_>,
    job: &PpoJob<'_>,
    reward: &mut dyn RewardFunction,
) -> Result<PpoOutcome<Trained>> {
    backend::dispatch(device.backend, Run(device, models, job, reward))?
}

struct Run<'a>(
    Device<'a>,
    PpoModels<'a>,
    &'a PpoJob<'a>,
    &'a mut dyn RewardFunction,
);

impl Work for Run<'_> {
    type Output = Result<PpoOutcome<Trained>>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
        let Self(on, models, job, reward) = self;
        let compute = on.compute::<B::InnerBackend>(device)?;
        let mut policy = open::<B>(models.policy, device)?;
        policy.compute = compute;
        let reference = match models.reference {
            Some(reference) => open::<B::InnerBackend>(reference, device)?,
            None => policy.valid(),
        };
        let reference = reference.frozen(compute.precision);
        let value = match models.values {
            Values::Nothing => None,
            Values::Policy => Some(ValueHead::zeros(None, policy.config.hidden_size, device)),
            Values::Own(start) => {
                // Read anew even where it starts as the policy: its parameters are others.
                let mut trunk = open::<B>(start, device)?;
                trunk.compute = compute;
                let hidden = trunk.config.hidden_size;
                Some(ValueHead::zeros(Some(trunk), hidden, device))
            }
        };
        let model = ActorCritic { policy, value };
        Ok(ppo::train(model, &reference, job, reward, device)?.map(Trained::new))
    }
}
