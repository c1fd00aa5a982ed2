//! Losses of single completions, each labelled desirable or not.

mod bco;
mod kto;

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::objective::{Branches, Loss, Metric, Normaliser, Shared, Statistics};

pub use bco::Bco;
pub use kto::Kto;

/// A loss of labelled completions, by TRL's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unpaired {
    /// `kto`; two branches an example: the labelled completion, and another example's under this prompt.
    Kto(Kto),
    /// `bco`; one branch an example.
    Bco(Bco),
}

impl Unpaired {
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Kto(kto) => kto.check(),
            Self::Bco(bco) => bco.check(),
        }
    }

    pub(super) fn branches(&self) -> usize {
        match self {
            Self::Kto(_) => 2,
            Self::Bco(_) => 1,
        }
    }

    pub(super) fn statistics<B: Backend>(&self, branches: &Branches<B>) -> Statistics {
        let examples = branches.desirable.len();
        let mut statistics = Statistics {
            examples,
            ..Statistics::default()
        };
        match self {
            Self::Kto(_) => statistics.kl = total(branches.ratio(examples, 1)),
            Self::Bco(bco) => statistics.rewards = bco.beta * total(branches.ratio(examples, 0)),
        }
        statistics
    }

    pub(super) fn loss<B: Backend>(
        &self,
        branches: &Branches<B>,
        normaliser: &Normaliser,
        shared: &Shared,
    ) -> Loss<B> {
        let labels = &branches.desirable;
        let examples = labels.len();
        let ratio = branches.ratio(examples, 0);
        let device = ratio.device();
        let each = |desirable: f64, undesirable: f64| -> Tensor<B, 1> {
            let values = labels.iter().map(|&label| match label {
                true => desirable as f32,
                false => undesirable as f32,
            });
            let values: Vec<f32> = values.collect();
            Tensor::from_data(TensorData::new(values, [examples]), &device)
        };
        let sign = each(1.0, -1.0);
        let (losses, beta) = match self {
            Self::Kto(kto) => {
                let (desirable, undesirable) = kto.weights();
                let losses = kto.losses(ratio.clone(), sign, shared.kl);
                (losses * each(desirable, undesirable), kto.beta)
            }
            Self::Bco(bco) => (bco.losses(ratio.clone(), sign, shared.shift), bco.beta),
        };
        let rewards = ratio.detach().mul_scalar(beta);
        let logps = super::branches::column(&branches.policy, examples, 0).detach();
        let chosen = labels.iter().filter(|&&label| label).count();
        let sides = [
            ("rewards/chosen", "logps/chosen", each(1.0, 0.0), chosen),
            (
                "rewards/rejected",
                "logps/rejected",
                each(0.0, 1.0),
                examples - chosen,
            ),
        ];
        let mut metrics = Vec::new();
        for (of_rewards, of_logps, mask, count) in sides {
            metrics.push(Metric::new(
                of_rewards,
                rewards.clone() * mask.clone(),
                count,
            ));
            metrics.push(Metric::new(of_logps, logps.clone() * mask, count));
        }
        if let Self::Kto(_) = self {
            metrics.push(Metric::new("kl", each(shared.kl, shared.kl), examples));
        }
        Loss {
            value: losses.sum().div_scalar(normaliser.examples.max(1) as f64),
            metrics,
        }
    }
}

fn total<B: Backend>(values: Tensor<B, 1>) -> f64 {
    values.into_data().iter::<f64>().sum()
}
