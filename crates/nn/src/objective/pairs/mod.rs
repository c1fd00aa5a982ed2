//! Losses of pairs, one by one and in weighted sums.

mod completion;
mod divergence;
mod margin;
mod pairwise;
mod reference_free;
mod reward;

use burn::tensor::{Tensor, backend::Backend};

use crate::objective::{Branches, Loss, Metric, Normaliser, PairLogps, Parameters, check, sft};

pub use completion::{Aot, AotUnpaired, ApoDown, ApoZero, BcoPair, NcaPair, SppoHard};
pub use divergence::Divergence;
pub use margin::{DiscoPop, ExoPair, Hinge, Ipo, Robust, Sigmoid};
pub use reference_free::{Cpo, Orpo, SimPo};
pub use reward::{Margin, Reward};

use pairwise::Pairwise;

macro_rules! losses {
    ($($name:literal $loss:ident,)*) => {
        /// A loss of pairs, by TRL's `loss_type`.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum PairLoss {
            /// `sft`: negative log-likelihood of the chosen completions, a token's mean.
            Sft,
            $(#[doc = concat!("`", $name, "`")] $loss($loss),)*
        }

        impl PairLoss {
            /// Every `loss_type`.
            pub const NAMES: &[&str] = &[$($name,)* "sft"];

            /// The loss of that `loss_type`, with its own defaults.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    "sft" => Some(Self::Sft),
                    $($name => Some(Self::$loss($loss::default())),)*
                    _ => None,
                }
            }

            /// What it can be told.
            pub fn parameters(&mut self) -> Parameters<'_> {
                match self {
                    Self::Sft => Parameters::default(),
                    $(Self::$loss(loss) => loss.parameters(),)*
                }
            }

            /// Its `loss_type`.
            pub fn name(&self) -> &'static str {
                match self {
                    Self::Sft => "sft",
                    $(Self::$loss(_) => $name,)*
                }
            }

            /// Whether it reads the reference.
            pub fn needs_reference(&self) -> bool {
                match self {
                    Self::Sft => false,
                    $(Self::$loss(loss) => loss.needs_reference(),)*
                }
            }

            /// Whether its parameters are in range.
            ///
            /// # Errors
            ///
            /// What is wrong, in words that name the parameter.
            pub fn check(&self) -> Result<(), String> {
                match self {
                    Self::Sft => Ok(()),
                    $(Self::$loss(loss) => loss.check(),)*
                }
            }

            fn nll(&self) -> f64 {
                match self {
                    Self::Sft => 1.0,
                    $(Self::$loss(loss) => loss.nll(),)*
                }
            }

            /// One loss a pair, without what comes of likelihood alone.
            fn losses<B: Backend>(&self, pairs: &PairLogps<B>) -> Option<Tensor<B, 1>> {
                match self {
                    Self::Sft => None,
                    $(Self::$loss(loss) => Some(loss.losses(pairs)),)*
                }
            }

            fn rewards<B: Backend>(&self, pairs: &PairLogps<B>) -> Option<[Tensor<B, 1>; 2]> {
                match self {
                    Self::Sft => None,
                    $(Self::$loss(loss) => Some(loss.rewards(pairs)),)*
                }
            }
        }

        $(impl From<$loss> for PairLoss {
            fn from(loss: $loss) -> Self {
                Self::$loss(loss)
            }
        })*
    };
}

losses! {
    "sigmoid" Sigmoid,
    "robust" Robust,
    "ipo" Ipo,
    "hinge" Hinge,
    "exo_pair" ExoPair,
    "nca_pair" NcaPair,
    "bco_pair" BcoPair,
    "sppo_hard" SppoHard,
    "aot" Aot,
    "aot_unpaired" AotUnpaired,
    "apo_zero" ApoZero,
    "apo_down" ApoDown,
    "discopop" DiscoPop,
    "simpo" SimPo,
    "cpo" Cpo,
    "orpo" Orpo,
}

/// A weighted sum of losses of the same pairs (as MPO, arXiv 2411.10442, has one).
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// Weights of at least 0, and what they weigh.
    pub terms: Vec<(f64, PairLoss)>,
    /// What tokens beyond the shorter completion's length weigh, in [0, 1]; see
    /// [`desensitised`](crate::objective::desensitised).
    pub ld_alpha: Option<f64>,
}

impl Sum {
    pub(super) fn check(&self) -> Result<(), String> {
        for (weight, term) in &self.terms {
            check::not_negative("loss_weights", *weight)?;
            let name = term.name();
            term.check()
                .map_err(|message| format!("{name}: {message}"))?;
        }
        if self.terms.iter().all(|(_, term)| *term == PairLoss::Sft) {
            return Err("at least one loss must compare chosen with rejected; \
                        train on the chosen completions alone with an sft stage"
                .into());
        }
        let Some(alpha) = self.ld_alpha else {
            return Ok(());
        };
        check::holds((0.0..=1.0).contains(&alpha), "ld_alpha", alpha, "in [0, 1]")?;
        // Likelihood terms are means over whole completions, which are not there once tails are weighed.
        let plain = |term: &PairLoss| term.nll() > 0.0 || !term.needs_reference();
        match self.terms.iter().find(|(_, term)| plain(term)) {
            Some((_, term)) => Err(format!(
                "ld_alpha does not apply to {}: only losses against a reference, none of them with a \
                 likelihood term, weigh a longer completion's tail",
                term.name()
            )),
            None => Ok(()),
        }
    }

    pub(super) fn needs_reference(&self) -> bool {
        self.terms.iter().any(|(_, term)| term.needs_reference())
    }

    pub(super) fn loss<B: Backend>(
        &self,
        branches: &Branches<B>,
        normaliser: &Normaliser,
    ) -> Loss<B> {
        let pairs = PairLogps::new(branches);
        let [chosen, rejected] = pairs.policy(false);
        let examples = normaliser.examples.max(1) as f64;
        let nll: f64 = self
            .terms
            .iter()
            .map(|(weight, term)| weight * term.nll())
            .sum();
        let mut parts = Vec::with_capacity(self.terms.len() + 1);
        for (weight, term) in &self.terms {
            let losses = term.losses(&pairs);
            parts.extend(losses.map(|losses| losses.sum().mul_scalar(weight / examples)));
        }
        if nll > 0.0 {
            parts.push(sft::nll(chosen.clone(), normaliser).mul_scalar(nll));
        }
        let value = parts.into_iter().reduce(|sum, part| sum + part);
        let count = pairs.pairs();
        let metric = |name, values| Metric::new(name, values, count);
        let mut metrics = Vec::new();
        let mut terms = self.terms.iter();
        if let Some([chosen, rejected]) = terms.find_map(|(_, term)| term.rewards(&pairs)) {
            let margins = chosen.clone() - rejected.clone();
            // A tie counts as wrong.
            let accurate = chosen.clone().greater(rejected.clone()).float();
            metrics.extend([
                metric("rewards/chosen", chosen),
                metric("rewards/rejected", rejected),
                metric("rewards/margins", margins),
                metric("rewards/accuracies", accurate),
            ]);
        }
        metrics.extend([
            metric("logps/chosen", chosen),
            metric("logps/rejected", rejected),
        ]);
        Loss {
            value: value.expect("a checked sum has a term"),
            metrics,
        }
    }
}
