//! AdamW with decoupled decay, after one clip of the global gradient norm.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use crate::model::hf::tensors;
use crate::model::weights::{self, Array, Parameter};
use crate::ops::{AdamWStep, Moved, Ops, TrainBackend};

/// AdamW's constants (Loshchilov and Hutter, arXiv 1711.05101), by TRL's names.
#[derive(Clone, Copy, Debug)]
pub struct AdamWConfig {
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    /// Applied to matrices and embeddings only: like transformers' Trainer, not to biases or norms.
    pub weight_decay: f64,
    /// Largest global gradient norm; larger gradients are scaled down to it.
    pub max_grad_norm: f64,
}

/// The optimizer and its moments.
pub struct AdamW<B: TrainBackend> {
    config: AdamWConfig,
    steps: i32,
    moments: HashMap<ParamId, Moments<B>>,
}

/// First and second moments of one parameter, flattened.
struct Moments<B: TrainBackend> {
    first: Tensor<B::InnerBackend, 1>,
    second: Tensor<B::InnerBackend, 1>,
}

impl<B: TrainBackend> AdamW<B> {
    /// An optimizer that has seen no step yet.
    pub fn new(config: AdamWConfig) -> Self {
        Self {
            config,
            steps: 0,
            moments: HashMap::new(),
        }
    }

    /// Clips `gradients` and moves the parameters once. Returns the model and the gradient norm
    /// before clipping.
    pub fn step<M: Module<B>>(
        &mut self,
        model: M,
        gradients: GradientsParams,
        learning_rate: f64,
    ) -> (M, f64) {
        let norm = global_norm::<B, M>(&model, &gradients);
        if !norm.is_finite() {
            return (model, norm);
        }
        self.steps += 1;
        // torch.nn.utils.clip_grad_norm_ adds the same 1e-6.
        let clip = (self.config.max_grad_norm / (norm + 1e-6)).min(1.0);
        let model = model.map(&mut Update {
            optimizer: self,
            gradients,
            learning_rate,
            clip,
        });
        (model, norm)
    }

    /// Writes the moments by parameter name, for a checkpoint; `model` supplies the names.
    ///
    /// # Errors
    ///
    /// Those of [`tensors::write_each`].
    pub fn write<M: Module<B>>(&self, model: &M, path: &Path) -> Result<()> {
        let mut names = BTreeMap::new();
        for Parameter { name, id, .. } in weights::parameters::<B, M>(model) {
            if let Some(moments) = self.moments.get(&id) {
                names.insert(format!("{name}.first"), &moments.first);
                names.insert(format!("{name}.second"), &moments.second);
            }
        }
        let heads: Vec<_> = names
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()))
            .collect();
        tensors::write_each(path, &heads, |name| Ok(weights::host(names[name].clone())))
    }

    /// How many steps it has taken.
    pub fn steps(&self) -> usize {
        self.steps as usize
    }

    /// Takes up where [`write`](Self::write) left off, `steps` steps in.
    pub fn restore<M: Module<B>>(
        &mut self,
        model: &M,
        mut arrays: BTreeMap<String, Array>,
        steps: usize,
        device: &B::Device,
    ) {
        self.steps = steps as i32;
        for Parameter { name, id, .. } in weights::parameters::<B, M>(model) {
            let mut take = |suffix: &str| {
                arrays
                    .remove(&format!("{name}.{suffix}"))
                    .map(|(shape, values)| {
                        Tensor::from_data(TensorData::new(values, shape), device)
                    })
            };
            if let (Some(first), Some(second)) = (take("first"), take("second")) {
                self.moments.insert(id, Moments { first, second });
            }
        }
    }
}

struct Update<'a, B: TrainBackend> {
    optimizer: &'a mut AdamW<B>,
    gradients: GradientsParams,
    learning_rate: f64,
    clip: f64,
}

impl<B: TrainBackend> ModuleMapper<B> for Update<'_, B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let config = self.optimizer.config;
        let steps = self.optimizer.steps;
        let shape = tensor.dims();
        let size = tensor.shape().num_elements();
        let gradient = gradient.reshape([size]);
        let Moments { first, second } =
            self.optimizer
                .moments
                .remove(&id)
                .unwrap_or_else(|| Moments {
                    first: gradient.zeros_like(),
                    second: gradient.zeros_like(),
                });
        let decay = if D > 1 { config.weight_decay } else { 0.0 };
        let step = AdamWStep {
            beta1: config.adam_beta1,
            beta2: config.adam_beta2,
            epsilon: config.adam_epsilon,
            clip: self.clip,
            keep: 1.0 - self.learning_rate * decay,
            rate: self.learning_rate / (1.0 - config.adam_beta1.powi(steps)),
            second_scale: (1.0 - config.adam_beta2.powi(steps)).sqrt(),
        };
        let moved = Moved {
            value: tensor.inner().reshape([size]),
            first,
            second,
        };
        let Moved {
            value,
            first,
            second,
        } = B::InnerBackend::adamw(moved, gradient, &step);
        self.optimizer.moments.insert(id, Moments { first, second });
        let value = Tensor::from_inner(value.reshape(shape)).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}

/// The L2 norm over all gradients together.
fn global_norm<B: TrainBackend, M: Module<B>>(model: &M, gradients: &GradientsParams) -> f64 {
    struct SquareSum<'a, B: TrainBackend> {
        gradients: &'a GradientsParams,
        sums: Vec<Tensor<B::InnerBackend, 1>>,
    }
    impl<B: TrainBackend> ModuleVisitor<B> for SquareSum<'_, B> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            if let Some(gradient) = self.gradients.get::<B::InnerBackend, D>(param.id) {
                let size = gradient.shape().num_elements();
                self.sums
                    .push(B::InnerBackend::square_sum(gradient.reshape([size])));
            }
        }
    }
    let mut visitor = SquareSum::<B> {
        gradients,
        sums: Vec::new(),
    };
    model.visit(&mut visitor);
    if visitor.sums.is_empty() {
        return 0.0;
    }
    let total = Tensor::cat(visitor.sums, 0).sum().into_data();
    total.iter::<f64>().next().unwrap_or(0.0).sqrt()
}
