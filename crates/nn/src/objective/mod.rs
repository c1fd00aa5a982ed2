//! Objectives: pure functions from log-probs, or the outputs of a scoring head, to a loss. Nothing here knows of models or text.
//!
//! One file each: of pairs by what they read (`pairs/margin`, `pairs/completion`, `pairs/reference_free`), and of
//! labelled completions (`unpaired`). Formulas, sources and defaults are listed in `docs/objectives.md`. What several of
//! them are made of is in `branches` (log-ratios), `pairs/reward` (implicit rewards and their margin),
//! `pairs/divergence`, `logistic` and `desensitised`.

mod branches;
mod check;
pub mod desensitised;
mod logistic;
mod metrics;
mod pairs;
mod parameters;
mod score;
mod sft;
mod shared;
mod unpaired;

use burn::tensor::backend::Backend;

pub use branches::{Branches, PairLogps};
pub use metrics::{Loss, Metric, Totals};
pub use pairs::{
    Aot, AotUnpaired, ApoDown, ApoZero, BcoPair, Cpo, DiscoPop, Divergence, ExoPair, Hinge, Ipo,
    Margin, NcaPair, Orpo, PairLoss, Reward, Robust, Sigmoid, SimPo, SppoHard, Sum,
};
pub use parameters::Parameters;
pub use score::Score;
pub use shared::{Normaliser, Running, Shared, Statistics};
pub use unpaired::{Bco, Kto, Unpaired};

/// Which objective a stage trains with, and its own parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// Mean negative log-likelihood of the scored tokens; one branch an example.
    Sft,
    /// Losses of pairs; two branches an example: chosen, then rejected.
    Pairs(Sum),
    /// Losses of single completions that are labelled desirable or not.
    Unpaired(Unpaired),
    /// Losses of a scoring head's outputs.
    Score(Score),
}

impl Objective {
    /// One loss of pairs, by itself.
    pub fn pairs(loss: impl Into<PairLoss>) -> Self {
        Self::Pairs(Sum {
            terms: vec![(1.0, loss.into())],
            ld_alpha: None,
        })
    }

    /// Whether all parameters are in range and go together.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that name the parameter.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Sft => Ok(()),
            Self::Pairs(sum) => sum.check(),
            Self::Unpaired(unpaired) => unpaired.check(),
            Self::Score(score) => score.check(),
        }
    }

    /// Branches that one example has.
    pub fn branches(&self) -> usize {
        match self {
            Self::Sft => 1,
            Self::Pairs(_) => 2,
            Self::Unpaired(unpaired) => unpaired.branches(),
            Self::Score(score) => score.branches(),
        }
    }

    /// Whether it reads the reference's log-probs.
    pub fn needs_reference(&self) -> bool {
        match self {
            Self::Sft | Self::Score(_) => false,
            Self::Pairs(sum) => sum.needs_reference(),
            Self::Unpaired(_) => true,
        }
    }

    /// The metric that says how often it is right, where it says so of each example.
    pub fn accuracy(&self) -> Option<&'static str> {
        match self {
            Self::Pairs(_) => Some("rewards/accuracies"),
            Self::Score(Score::BradleyTerry { .. } | Score::Classification { .. }) => {
                Some("accuracy")
            }
            _ => None,
        }
    }

    /// What an example with these targets adds to its step's [`Normaliser::weight`].
    pub fn weight(&self, targets: &[f32]) -> f64 {
        match self {
            Self::Score(score) => score.weight(targets),
            _ => 1.0,
        }
    }

    /// Whether the loss reads something of the whole step ([`Shared`]) that must be known before any of
    /// its micro-batches.
    pub fn needs_statistics(&self) -> bool {
        matches!(self, Self::Unpaired(_))
    }

    /// What each token beyond the length of its pair's shorter completion weighs in a branch's sum, where
    /// not 1; see [`desensitised::token_weights`].
    pub fn tail_weight(&self) -> Option<f64> {
        match self {
            Self::Pairs(sum) => sum.ld_alpha,
            _ => None,
        }
    }

    /// The objective with what it was not told derived from the number of desirable and undesirable
    /// examples to train on: KTO's class weights.
    pub fn with_counts(self, desirable: usize, undesirable: usize) -> Self {
        match self {
            Self::Unpaired(Unpaired::Kto(kto)) => {
                Self::Unpaired(Unpaired::Kto(kto.with_counts(desirable, undesirable)))
            }
            other => other,
        }
    }

    /// What a micro-batch adds to its step's statistics; nothing for objectives that need none.
    pub fn statistics<B: Backend>(&self, branches: &Branches<B>) -> Statistics {
        match self {
            Self::Unpaired(unpaired) => unpaired.statistics(branches),
            _ => Statistics::default(),
        }
    }

    /// The loss of a micro-batch, divided by the counts of its whole step, so that the micro-batches'
    /// values and gradients add up to the large batch's. (AOT's losses alone do not: they sort what is in
    /// a micro-batch.)
    ///
    /// # Panics
    ///
    /// Where `branches` lacks what [`branches`](Self::branches) and
    /// [`needs_reference`](Self::needs_reference) ask for.
    pub fn loss<B: Backend>(
        &self,
        branches: &Branches<B>,
        normaliser: &Normaliser,
        shared: &Shared,
    ) -> Loss<B> {
        match self {
            Self::Sft => Loss {
                value: sft::nll(branches.policy.clone(), normaliser),
                metrics: Vec::new(),
            },
            Self::Pairs(sum) => sum.loss(branches, normaliser),
            Self::Unpaired(unpaired) => unpaired.loss(branches, normaliser, shared),
            Self::Score(score) => score.loss(branches, normaliser),
        }
    }
}
