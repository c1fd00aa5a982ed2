//! One training run, from a model folder to weights.

use std::path::Path;

use anyhow::Result;

use crate::backend::{self, Work};
use crate::engine::{Device, open};
use crate::model::config::ScoreHead;
use crate::model::{Decoder, DecoderConfig, weights};
use crate::ops::{Ops, TrainBackend};
use crate::train::{self, Job, Outcome};

/// A trained model.
pub struct Trained {
    pub config: DecoderConfig,
    weights: Box<Weights>,
}

type Weights = dyn Fn(&str) -> Option<Vec<f32>>;

impl Trained {
    pub(super) fn new<B: Ops>(model: Decoder<B>) -> Self {
        Self {
            config: model.config.clone(),
            weights: Box::new(move |name| weights::read(&model, name)),
        }
    }

    /// One parameter's values, by name; nothing where there is none of that name.
    pub fn weights(&self, name: &str) -> Option<Vec<f32>> {
        (self.weights)(name)
    }
}

/// Trains the model of the folder `source`, with a new scoring head and its padding token if one is given, or goes on
/// from the checkpoint in the job's folder.
///
/// # Errors
/// As [`Frozen::open`](super::Frozen::open) and [`train::train`].
pub fn train(
    device: Device<'_>,
    source: &Path,
    head: Option<(&ScoreHead, Option<u32>)>,
    job: &Job<'_>,
) -> Result<Outcome<Trained>> {
    backend::dispatch(device.backend, Run(device, source, head, job))?
}

struct Run<'a>(
    Device<'a>,
    &'a Path,
    Option<(&'a ScoreHead, Option<u32>)>,
    &'a Job<'a>,
);

impl Work for Run<'_> {
    type Output = Result<Outcome<Trained>>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
        let Self(on, source, head, job) = self;
        let compute = on.compute::<B::InnerBackend>(device)?;
        let mut model = open::<B>(source, device)?;
        if let Some((head, pad)) = head {
            model = model.with_score(head.clone());
            model.config.pad = pad;
        }
        model.compute = compute;
        Ok(train::train(model, job, device)?.map(Trained::new))
    }
}
