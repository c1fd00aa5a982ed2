//! Backward through a decoder, whole or block by block.

use burn::module::AutodiffModule;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use crate::model::Decoder;
use crate::model::forest::Forest;
use crate::objective::Loss;
use crate::ops::TrainBackend;

/// The loss of a forest's [branch values](Decoder::branch_values) and its gradients.
pub fn backward<B: TrainBackend>(
    model: &Decoder<B>,
    forest: &Forest,
    loss: impl FnOnce(Tensor<B, 1>) -> Loss<B>,
) -> (Loss<B>, GradientsParams) {
    if model.compute.recompute {
        return by_blocks(model, forest, loss);
    }
    let loss = loss(model.branch_values(forest));
    let gradients = loss.value.clone().backward();
    (loss, GradientsParams::from_grads(gradients, model))
}

/// As [`backward`], but only each block's input outlives forward. The arithmetic is the same, so
/// are the gradients.
fn by_blocks<B: TrainBackend>(
    model: &Decoder<B>,
    forest: &Forest,
    loss: impl FnOnce(Tensor<B, 1>) -> Loss<B>,
) -> (Loss<B>, GradientsParams) {
    let view = model.view(forest);
    let untracked = model.valid();
    let last = model.blocks.len() - 1;
    let mut inputs = vec![untracked.enter(forest)];
    for block in 0..last {
        let x = inputs[block].clone();
        inputs.push(untracked.block(block, x, &view));
    }
    let tracked = |inputs: &mut Vec<Tensor<B::InnerBackend, 3>>| {
        let x = inputs.pop().expect("one input a block");
        Tensor::<B, 3>::from_inner(x).require_grad()
    };

    let top = tracked(&mut inputs);
    let hidden = model.read(top.clone(), forest, &view);
    let loss = loss(model.values(hidden, forest));
    let mut gradients = loss.value.clone().backward();
    let mut slope = top.grad_remove(&mut gradients);
    let mut accumulator = GradientsAccumulator::new();
    accumulator.accumulate(model, GradientsParams::from_grads(gradients, model));

    // The gradient of a sum of products with the slope is the slope itself.
    let follow = |y: Tensor<B, 3>, slope: Option<Tensor<B::InnerBackend, 3>>| {
        let slope = slope.expect("the loss depends on every block");
        y.mul(Tensor::from_inner(slope)).sum().backward()
    };
    for block in (0..last).rev() {
        let x = tracked(&mut inputs);
        let mut gradients = follow(model.block(block, x.clone(), &view), slope);
        slope = x.grad_remove(&mut gradients);
        accumulator.accumulate(model, GradientsParams::from_grads(gradients, model));
    }
    let gradients = follow(model.enter(forest), slope);
    accumulator.accumulate(model, GradientsParams::from_grads(gradients, model));
    (loss, accumulator.grads())
}
