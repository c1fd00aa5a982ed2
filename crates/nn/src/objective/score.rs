//! Losses of a scoring head: what its outputs, read at a sequence's end, should be.

use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::objective::{Branches, Loss, Metric, Normaliser, check};

/// What a scoring head is trained for.
#[derive(Clone, Debug, PartialEq)]
pub enum Score {
    /// Squared error to each example's ratings, one an output, those that are missing left out.
    Regression {
        /// What an error of each output weighs; the loss is the weighted mean over ratings given.
        weights: Vec<f64>,
    },
    /// The chosen sequence scores above the rejected one, by at least the example's margin where it has one:
    /// `-log sigmoid(chosen - rejected - margin)` (Bradley and Terry, 1952; Llama 2, arXiv 2307.09288, for the
    /// margin). Two branches an example, one output.
    BradleyTerry {
        /// Weighs the mean of `(chosen + rejected)^2`, which keeps scores around 0 (arXiv 2312.09244), as
        /// TRL's `center_rewards_coefficient` does.
        centre: f64,
    },
    /// Cross-entropy of each example's class.
    Classification {
        /// Number of outputs.
        classes: usize,
    },
}

impl Score {
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Regression { weights } => {
                for weight in weights {
                    check::not_negative("impression_weights", *weight)?;
                }
                match weights.iter().any(|weight| *weight > 0.0) {
                    true => Ok(()),
                    false => Err("impression_weights: expected one above 0, found none".into()),
                }
            }
            Self::BradleyTerry { centre } => {
                check::not_negative("center_rewards_coefficient", *centre)
            }
            Self::Classification { classes } => match *classes {
                0 | 1 => Err(format!("expected at least two classes, found {classes}")),
                _ => Ok(()),
            },
        }
    }

    pub(super) fn branches(&self) -> usize {
        match self {
            Self::BradleyTerry { .. } => 2,
            _ => 1,
        }
    }

    /// What an example adds to the weight that the loss is divided by.
    pub(super) fn weight(&self, targets: &[f32]) -> f64 {
        match self {
            Self::Regression { weights } => {
                let given = weights.iter().zip(targets).filter(|(_, it)| !it.is_nan());
                given.map(|(weight, _)| weight).sum()
            }
            _ => 1.0,
        }
    }

    /// The loss of `branches`, whose `policy` are the head's outputs, `[branches * outputs]`.
    pub(super) fn loss<B: Backend>(
        &self,
        branches: &Branches<B>,
        normaliser: &Normaliser,
    ) -> Loss<B> {
        let outputs = branches.policy.clone();
        let weight = normaliser.weight.max(f64::MIN_POSITIVE);
        match self {
            Self::Regression { weights } => {
                let (mut wanted, mut weighs) = (Vec::new(), Vec::new());
                for (at, target) in branches.targets.iter().enumerate() {
                    let given = !target.is_nan();
                    wanted.push(if given { *target } else { 0.0 });
                    let weight = if given {
                        weights[at % weights.len()]
                    } else {
                        0.0
                    };
                    weighs.push(weight as f32);
                }
                let error = outputs.clone() - like(wanted, &outputs);
                let squared = error.clone() * error * like(weighs, &outputs);
                Loss {
                    value: squared.sum() / weight,
                    metrics: Vec::new(),
                }
            }
            Self::BradleyTerry { centre } => {
                let pairs = outputs.dims()[0] / 2;
                let sides = outputs.clone().reshape([pairs, 2]);
                let [chosen, rejected] =
                    [0, 1].map(|side| sides.clone().narrow(1, side, 1).reshape([pairs]));
                let apart = chosen.clone() - rejected.clone();
                let beyond = match branches.targets.is_empty() {
                    true => apart.clone(),
                    false => apart.clone() - like(branches.targets.clone(), &outputs),
                };
                let mut value = log_sigmoid(beyond).neg();
                if *centre > 0.0 {
                    let sum = chosen + rejected;
                    value = value + (sum.clone() * sum).mul_scalar(*centre);
                }
                let right = apart.clone().greater_elem(0.0).float();
                Loss {
                    value: value.sum() / weight,
                    metrics: vec![
                        Metric::new("accuracy", right, pairs),
                        Metric::new("margin", apart, pairs),
                        Metric::new("mean_reward", outputs, 2 * pairs),
                    ],
                }
            }
            Self::Classification { classes } => {
                let examples = outputs.dims()[0] / classes;
                let logits = outputs.clone().reshape([examples, *classes]);
                let class: Vec<i32> = branches.targets.iter().map(|it| *it as i32).collect();
                let class = TensorData::new(class, [examples, 1]);
                let class = Tensor::<B, 2, Int>::from_data(class, &outputs.device());
                let right = logits.clone().argmax(1).equal(class.clone()).float();
                let logps = log_softmax(logits, 1).gather(1, class);
                Loss {
                    value: logps.sum().neg() / weight,
                    metrics: vec![Metric::new("accuracy", right.flatten(0, 1), examples)],
                }
            }
        }
    }
}

fn like<B: Backend>(values: Vec<f32>, other: &Tensor<B, 1>) -> Tensor<B, 1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &other.device())
}
