//! One training run, from a model folder to weights.

use std::path::Path;

use anyhow::Result;

use crate::backend::{self, Work};
use crate::engine::Device;
use crate::engine::open::{Adapted, LoraSettings, open_adapted, open_whole};
use crate::model::config::ScoreHead;
use crate::model::{Decoder, DecoderConfig, weights};
use crate::ops::{Ops, TrainBackend};
use crate::train::{self, Job, Outcome};

/// A trained model.
pub struct Trained {
    pub config: DecoderConfig,
    /// What of it was trained, where that was adapters.
    pub adapted: Option<Adapted>,
    weights: Box<Weights>,
}

type Weights = dyn Fn(&str) -> Option<Vec<f32>>;

impl Trained {
    pub(super) fn new<B: Ops>(model: Decoder<B>, adapted: Option<Adapted>) -> Self {
        Self {
            adapted,
            config: model.config.clone(),
            weights: Box::new(move |name| weights::read(&model, name)),
        }
    }

    /// One parameter's values, by name; nothing where there is none of that name.
    pub fn weights(&self, name: &str) -> Option<Vec<f32>> {
        (self.weights)(name)
    }
}

/// What a run begins with.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The model's folder.
    pub source: &'a Path,
    /// A new scoring head and its padding token.
    pub head: Option<(&'a ScoreHead, Option<u32>)>,
    /// Adapters that are trained in the place of the weights.
    pub lora: Option<&'a LoraSettings>,
}

/// Trains a model, or goes on from the checkpoint in the job's folder.
///
/// # Errors
/// As [`Frozen::open`](super::Frozen::open) and [`train::train`].
pub fn train(device: Device<'_>, start: Start<'_>, job: &Job<'_>) -> Result<Outcome<Trained>> {
    backend::dispatch(device.backend, Run(device, start, job))?
}

struct Run<'a>(Device<'a>, Start<'a>, &'a Job<'a>);

impl Work for Run<'_> {
    type Output = Result<Outcome<Trained>>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
        let Self(on, start, job) = self;
        let compute = on.compute::<B::InnerBackend>(device)?;
        let head = start.head.map(|(head, _)| head);
        let (mut model, adapted) = match start.lora {
            Some(lora) => {
                on.holds(lora)?;
                let opened = open_adapted::<B>(
                    start.source,
                    lora,
                    head,
                    (job.seed, compute.precision),
                    device,
                )?;
                (opened.0, Some(opened.1))
            }
            None => {
                let mut model = open_whole::<B>(start.source, device)?;
                if let Some(head) = head {
                    model = model.with_score(head.clone());
                }
                (model, None)
            }
        };
        if let Some((_, pad)) = start.head {
            model.config.pad = pad;
        }
        model.compute = compute;
        Ok(train::train(model, job, device)?.map(|model| Trained::new(model, adapted)))
    }
}
