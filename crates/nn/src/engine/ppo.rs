//! One run of reinforcement learning, from model folders to the policy's weights.

use std::path::Path;

use anyhow::Result;
use burn::module::AutodiffModule;

use crate::backend::{self, Work};
use crate::engine::open::{Adapted, LoraSettings, open, open_adapted, open_whole};
use crate::engine::{Device, Trained};
use crate::model::hf::adapter as hf;
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
    /// Adapters that are trained in the place of the policy's weights, and of those of a second model for values.
    pub lora: Option<&'a LoraSettings>,
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
        let (mut policy, adapted): (_, Option<Adapted>) = match models.lora {
            None => (open_whole::<B>(models.policy, device)?, None),
            Some(lora) => {
                on.holds(lora)?;
                let (policy, adapted) = open_adapted::<B>(
                    models.policy,
                    lora,
                    None,
                    (job.seed, compute.precision),
                    device,
                )?;
                (policy, Some(adapted))
            }
        };
        policy.compute = compute;
        let fresh = !hf::is_adapter(models.policy);
        let reference = match (models.reference, &adapted) {
            (Some(reference), _) => open::<B::InnerBackend>(reference, device)?,
            // What is not trained is the same values, not a copy of them; adapters that begin now add nothing.
            (None, Some(_)) if fresh => policy.valid().without_adapters(),
            (None, _) => policy.valid(),
        };
        let reference = reference.frozen(compute.precision);
        let value = match models.values {
            Values::Nothing => None,
            Values::Policy => Some(ValueHead::zeros(None, policy.config.hidden_size, device)),
            Values::Own(start) => {
                let mut trunk = match &models.lora {
                    // Read anew even where it starts as the policy: its parameters are others.
                    None => open_whole::<B>(start, device)?,
                    Some(lora) => {
                        let seed = job.seed.wrapping_add(1);
                        if start == models.policy {
                            policy.clone().with_own_parameters()
                        } else {
                            open_adapted::<B>(start, lora, None, (seed, compute.precision), device)?
                                .0
                        }
                    }
                };
                trunk.compute = compute;
                let hidden = trunk.config.hidden_size;
                Some(ValueHead::zeros(Some(trunk), hidden, device))
            }
        };
        let model = ActorCritic { policy, value };
        let outcome = ppo::train(model, &reference, job, reward, device)?;
        Ok(outcome.map(|policy| Trained::new(policy, adapted)))
    }
}
