//! A loss, and means to log, from sums over micro-batches.

use burn::tensor::{Tensor, backend::Backend};

/// A loss to minimise, and what is worth logging about it.
pub struct Loss<B: Backend> {
    /// Scalar, `[1]`, already divided by the whole step's normaliser.
    pub value: Tensor<B, 1>,
    /// What TRL logs, by its names.
    pub metrics: Vec<Metric<B>>,
}

/// A quantity by TRL's name, summed over what it is of.
pub struct Metric<B: Backend> {
    pub name: &'static str,
    /// Sum over this micro-batch, `[1]`, without a gradient.
    pub sum: Tensor<B, 1>,
    /// Over how many it is summed.
    pub count: usize,
}

impl<B: Backend> Metric<B> {
    /// Sums `values`, one for each of `count`.
    pub(super) fn new(name: &'static str, values: Tensor<B, 1>, count: usize) -> Self {
        Self {
            name,
            sum: values.detach().sum(),
            count,
        }
    }
}

/// Loss and metrics of several micro-batches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Sum of the micro-batches' losses, which is the step's.
    pub loss: f64,
    sums: Vec<(&'static str, f64, usize)>,
}

impl Totals {
    /// Takes in a micro-batch.
    pub fn add<B: Backend>(&mut self, loss: Loss<B>) {
        self.loss += scalar(loss.value);
        for metric in loss.metrics {
            let at = self.sums.iter().position(|sum| sum.0 == metric.name);
            let at = at.unwrap_or_else(|| {
                self.sums.push((metric.name, 0.0, 0));
                self.sums.len() - 1
            });
            let (_, sum, count) = &mut self.sums[at];
            *sum += scalar(metric.sum);
            *count += metric.count;
        }
    }

    /// The mean of each metric that is of anything. Where rewards are of different examples, their margin
    /// is the difference of their means.
    pub fn means(&self) -> Vec<(&'static str, f64)> {
        let mut means: Vec<_> = self
            .sums
            .iter()
            .filter(|(_, _, count)| *count > 0)
            .map(|&(name, sum, count)| (name, sum / count as f64))
            .collect();
        let of = |name| means.iter().find(|mean| mean.0 == name).map(|mean| mean.1);
        if let (None, Some(chosen), Some(rejected)) = (
            of("rewards/margins"),
            of("rewards/chosen"),
            of("rewards/rejected"),
        ) {
            means.push(("rewards/margins", chosen - rejected));
        }
        means
    }

    /// The mean of one metric, if there is one.
    pub fn mean(&self, name: &str) -> Option<f64> {
        let means = self.means();
        means.iter().find(|mean| mean.0 == name).map(|mean| mean.1)
    }
}

/// Reads a one-element tensor.
pub(super) fn scalar<B: Backend>(value: Tensor<B, 1>) -> f64 {
    value.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}
