//! Models that are computed without gradients: scored with and sampled from.

use std::path::Path;

use anyhow::Result;

use crate::backend::{self, Work};
use crate::engine::Device;
use crate::engine::open::{open, open_held};
use crate::generate::{self, Reply, Request, Sampling};
use crate::model::forest::Forest;
use crate::model::hf::BaseDtype;
use crate::model::{Decoder, DecoderConfig};
use crate::objective::{Objective, Running};
use crate::ops::{Ops, TrainBackend};
use crate::train::{self, Dataset, Evaluation};

/// A model with its weights on a device, for passes without gradients.
pub struct Frozen(Box<dyn Passes>);

impl Frozen {
    /// Reads the model of a folder, whatever its head.
    ///
    /// # Errors
    /// A backend that this build lacks or that has no such precision; a folder that cannot be read.
    pub fn open(device: Device<'_>, dir: &Path) -> Result<Self> {
        Self::read(device, dir, None)
    }

    /// As [`open`](Self::open), with the base held as it is where adapters are trained beside it.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_held(device: Device<'_>, dir: &Path, base: BaseDtype) -> Result<Self> {
        Self::read(device, dir, Some(base))
    }

    fn read(device: Device<'_>, dir: &Path, base: Option<BaseDtype>) -> Result<Self> {
        struct Open<'a>(Device<'a>, &'a Path, Option<BaseDtype>);
        impl Work for Open<'_> {
            type Output = Result<Box<dyn Passes>>;
            fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
                let precision = self.0.compute::<B::InnerBackend>(device)?.precision;
                let model = match self.2 {
                    None => open::<B::InnerBackend>(self.1, device)?,
                    Some(base) => open_held::<B::InnerBackend>(self.1, base, precision, device)?,
                };
                Ok(Box::new(OnDevice::<B::InnerBackend> {
                    model: model.frozen(precision),
                    device: device.clone(),
                }))
            }
        }
        backend::dispatch(device.backend, Open(device, dir, base))?.map(Self)
    }

    /// Its shape.
    pub fn config(&self) -> &DecoderConfig {
        self.0.config()
    }

    /// Summed log-prob of every sequence of every example, example by example, `batch` units at a time. Nothing once
    /// `going`, told how many units are complete, says not to go on.
    pub fn logps(
        &self,
        set: &Dataset,
        batch: usize,
        mut going: impl FnMut(usize) -> bool,
    ) -> Option<Vec<Vec<f32>>> {
        self.0.logps(set, batch, &mut going)
    }

    /// What the model says of the sequences of the units of `batches`, in the order of sequences: log-probs, or the
    /// outputs of its head. NaN for those of other units; nothing as in [`logps`](Self::logps).
    pub fn values(
        &self,
        set: &Dataset,
        objective: &Objective,
        batches: &[Vec<usize>],
        mut going: impl FnMut(usize) -> bool,
    ) -> Option<Vec<f32>> {
        self.0.values(set, objective, batches, &mut going)
    }

    /// Mean negative log-likelihood over a whole set, `batch` units at a time.
    pub fn evaluate(&self, set: &Dataset, batch: usize) -> Evaluation {
        self.0.evaluate(set, batch)
    }

    /// Logits after each of `tokens`, one row of the vocabulary after the other.
    pub fn logits(&self, tokens: &[u32]) -> Vec<f32> {
        self.0.logits(tokens)
    }

    /// Draws one reply for each request, as [`generate::generate`].
    pub fn generate(
        &self,
        requests: &[Request],
        sampling: &Sampling,
        (seed, batch): (u64, usize),
        mut going: impl FnMut(usize) -> bool,
    ) -> Option<Vec<Reply>> {
        self.0
            .generate(requests, sampling, (seed, batch), &mut going)
    }
}

type Going<'a> = &'a mut dyn FnMut(usize) -> bool;

/// What [`Frozen`] does, on whatever backend.
trait Passes {
    fn config(&self) -> &DecoderConfig;
    fn logps(&self, set: &Dataset, batch: usize, going: Going<'_>) -> Option<Vec<Vec<f32>>>;
    fn values(
        &self,
        set: &Dataset,
        objective: &Objective,
        batches: &[Vec<usize>],
        going: Going<'_>,
    ) -> Option<Vec<f32>>;
    fn evaluate(&self, set: &Dataset, batch: usize) -> Evaluation;
    fn logits(&self, tokens: &[u32]) -> Vec<f32>;
    fn generate(
        &self,
        requests: &[Request],
        sampling: &Sampling,
        drawn: (u64, usize),
        going: Going<'_>,
    ) -> Option<Vec<Reply>>;
}

struct OnDevice<B: Ops> {
    model: Decoder<B>,
    device: B::Device,
}

impl<B: Ops> Passes for OnDevice<B> {
    fn config(&self) -> &DecoderConfig {
        &self.model.config
    }

    fn logps(&self, set: &Dataset, batch: usize, going: Going<'_>) -> Option<Vec<Vec<f32>>> {
        train::branch_logps(&self.model, set, &Objective::Sft, batch, going)
    }

    fn values(
        &self,
        set: &Dataset,
        objective: &Objective,
        batches: &[Vec<usize>],
        going: Going<'_>,
    ) -> Option<Vec<f32>> {
        let batches = batches.iter().cloned();
        train::unit_values(&self.model, set, objective, batches, going)
    }

    fn evaluate(&self, set: &Dataset, batch: usize) -> Evaluation {
        let running = Running::default();
        train::evaluate(&self.model, set, &Objective::Sft, batch, &running)
    }

    fn logits(&self, tokens: &[u32]) -> Vec<f32> {
        let hidden = self.model.forest_hidden(&Forest::path(tokens));
        let mut logits = Vec::new();
        self.model.logits(hidden.squeeze_dim(0), &mut logits);
        logits
    }

    fn generate(
        &self,
        requests: &[Request],
        sampling: &Sampling,
        (seed, batch): (u64, usize),
        going: Going<'_>,
    ) -> Option<Vec<Reply>> {
        let Self { model, device } = self;
        generate::generate(model, requests, sampling, seed, batch, device, going)
    }
}
