//! Operations with a backward of their own.

use std::fmt::Debug;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops as Step, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

use crate::ops::Tracked;

/// The gradients of an operation's inputs, from what forward kept and the output's gradient.
#[derive(Debug)]
struct Recorded<B: Backend, S, const N: usize>(
    fn(S, B::FloatTensorPrimitive) -> [B::FloatTensorPrimitive; N],
);

impl<B: Backend, S: Clone + Send + Debug + 'static, const N: usize> Backward<B, N>
    for Recorded<B, S, N>
{
    type State = S;

    fn backward(self, step: Step<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let grad = gradients.consume::<B>(&step.node);
        for (parent, grad) in step.parents.into_iter().zip(self.0(step.state, grad)) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, grad);
            }
        }
    }
}

/// Records an operation that gave `out` from `inputs`.
pub(super) fn record<
    B: Backend,
    C: CheckpointStrategy,
    S: Clone + Send + Debug + 'static,
    const N: usize,
    const D: usize,
>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    state: S,
    out: B::FloatTensorPrimitive,
    backward: fn(S, B::FloatTensorPrimitive) -> [B::FloatTensorPrimitive; N],
) -> Tracked<B, C, D> {
    let step = Recorded::<B, S, N>(backward).prepare::<C>(inputs.map(|input| input.node));
    wrap::<Autodiff<B, C>, D>(match step.compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, out),
        OpsKind::UnTracked(step) => step.finish(out),
    })
}

/// A tensor's primitive.
pub(super) fn raw<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// A tensor from its primitive.
pub(super) fn wrap<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}
