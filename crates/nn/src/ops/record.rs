//! Operations with a backward of their own.

use std::fmt::Debug;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops as Step, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

/// A tensor whose operations are recorded for backward over `B`.
pub(super) type Tracked<B, C, const D: usize> = Tensor<Autodiff<B, C>, D>;

/// The gradients of an operation's inputs, from what forward kept, the output's gradient, and which inputs need one.
/// What is given for another is not kept.
type Gradient<B, S, const N: usize> =
    fn(S, FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N];

#[derive(Debug)]
struct Recorded<B: Backend, S, const N: usize>(Gradient<B, S, N>);

impl<B: Backend, S: Clone + Send + Debug + 'static, const N: usize> Backward<B, N>
    for Recorded<B, S, N>
{
    type State = S;

    fn backward(self, step: Step<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let grad = gradients.consume::<B>(&step.node);
        // A parent is there where it needs a gradient, which a frozen weight does not.
        let needed = step.parents.each_ref().map(Option::is_some);
        let found = self.0(step.state, grad, needed);
        for (parent, grad) in step.parents.into_iter().zip(found) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
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
    backward: Gradient<B, S, N>,
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
