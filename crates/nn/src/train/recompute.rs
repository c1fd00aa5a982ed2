//! Backward through decoders, whole or block by block.

use burn::module::{AutodiffModule, Module};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use crate::model::forest::Forest;
use crate::model::views::TreeViews;
use crate::model::{Decoder, weights};
use crate::objective::Loss;
use crate::ops::TrainBackend;

/// The loss of a forest's [branch values](Decoder::branch_values) and its gradients.
pub fn backward<B: TrainBackend>(
    model: &Decoder<B>,
    forest: &Forest,
    loss: impl FnOnce(Tensor<B, 1>) -> Loss<B>,
) -> (Loss<B>, GradientsParams) {
    let mut found = None;
    let gradients = through(model, &[model], forest, |hidden| {
        let hidden = hidden.into_iter().next().expect("one decoder was read");
        let loss = loss(model.values(hidden, forest));
        found.insert(loss).value.clone()
    });
    (found.expect("the loss was asked for"), gradients)
}

/// The gradients of a module's parameters from a loss of the final hidden states of some decoders in it, each
/// `[scored, hidden]`, in their order. Where a decoder is to be recomputed, only each block's input outlives forward;
/// the arithmetic is the same, so are the gradients.
pub fn through<B: TrainBackend, M: AutodiffModule<B>>(
    module: &M,
    decoders: &[&Decoder<B>],
    forest: &Forest,
    loss: impl FnOnce(Vec<Tensor<B, 2>>) -> Tensor<B, 1>,
) -> GradientsParams {
    if decoders.iter().any(|decoder| decoder.compute.recompute) {
        return by_blocks(module, decoders, forest, loss);
    }
    let read = |decoder: &&Decoder<B>| decoder.scored_hidden(forest);
    let gradients = loss(decoders.iter().map(read).collect()).backward();
    GradientsParams::from_grads(gradients, module)
}

/// Whether any parameter of a module is trained.
fn trained<B: TrainBackend, M: Module<B>>(module: &M) -> bool {
    let parameters = weights::parameters(module);
    parameters.iter().any(|parameter| parameter.tracked)
}

fn by_blocks<B: TrainBackend, M: AutodiffModule<B>>(
    module: &M,
    decoders: &[&Decoder<B>],
    forest: &Forest,
    loss: impl FnOnce(Vec<Tensor<B, 2>>) -> Tensor<B, 1>,
) -> GradientsParams {
    let tracked = |x: Tensor<B::InnerBackend, 3>| Tensor::<B, 3>::from_inner(x).require_grad();
    let (mut below, mut tops, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
    for decoder in decoders {
        let view = TreeViews::of_forest(&decoder.config, forest);
        let untracked = decoder.valid();
        let mut inputs = Vec::new();
        let mut x = untracked.enter(forest);
        for block in 0..decoder.blocks.len() - 1 {
            inputs.push(x.clone());
            x = untracked.block(block, x, &view);
        }
        let top = tracked(x);
        hidden.push(decoder.read(top.clone(), forest, &view));
        below.push((view, inputs));
        tops.push(top);
    }
    let mut gradients = loss(hidden).backward();
    let slopes: Vec<_> = tops
        .iter()
        .map(|top| top.grad_remove(&mut gradients))
        .collect();
    let mut accumulator = GradientsAccumulator::<M>::new();
    accumulator.accumulate(module, GradientsParams::from_grads(gradients, module));

    // The gradient of a sum of products with the slope is the slope itself.
    let follow = |y: Tensor<B, 3>, slope: Option<Tensor<B::InnerBackend, 3>>| {
        let slope = slope.expect("the loss depends on every block");
        y.mul(Tensor::from_inner(slope)).sum().backward()
    };
    for ((decoder, (view, mut inputs)), mut slope) in decoders.iter().zip(below).zip(slopes) {
        // Where what enters the first block is not trained, nothing goes on from its slope.
        let entered = [Some(&decoder.embed), decoder.positions.as_ref()]
            .into_iter()
            .flatten();
        let enters = entered
            .into_iter()
            .any(|table| table.val().is_require_grad());
        while let Some(x) = inputs.pop() {
            let first = inputs.is_empty() && !enters;
            if first && !trained(&decoder.blocks[0]) {
                break;
            }
            let x = match first {
                true => Tensor::from_inner(x),
                false => tracked(x),
            };
            let mut gradients = follow(decoder.block(inputs.len(), x.clone(), &view), slope);
            slope = x.grad_remove(&mut gradients);
            accumulator.accumulate(module, GradientsParams::from_grads(gradients, module));
        }
        if enters {
            let gradients = follow(decoder.enter(forest), slope);
            accumulator.accumulate(module, GradientsParams::from_grads(gradients, module));
        }
    }
    accumulator.grads()
}
