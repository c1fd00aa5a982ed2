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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
    use burn_flex::Flex;

    use super::*;
    use crate::ops::Ops;

    type Ad = Autodiff<Flex>;

    #[test]
    fn no_gradient_is_asked_for_an_input_that_needs_none() {
        let device = Default::default();
        let tracked = Tensor::<Ad, 1>::ones([2], &device).require_grad();
        let frozen = Tensor::<Ad, 1>::ones([2], &device);
        let inputs = [raw(tracked.clone()), raw(frozen)];
        let out = raw(Tensor::<Flex, 1>::ones([2], &device));
        let out = record::<Flex, NoCheckpointing, (), 2, 1>(inputs, (), out, |(), grad, needed| {
            assert_eq!(needed, [true, false]);
            needed.map(|needed| needed.then(|| grad.clone()))
        });
        let gradients = out.sum().backward();
        let found = tracked.grad(&gradients).expect("it needs one");
        assert_eq!(found.into_data().to_vec::<f32>().unwrap(), [1.0, 1.0]);
    }

    #[test]
    fn what_is_frozen_leaves_the_other_gradient_as_it_is() {
        let device = Default::default();
        let values = |shape: [usize; 2], from: i64| {
            let values = Tensor::<Ad, 1, burn::tensor::Int>::arange(from..from + 12, &device);
            values.float().sin().reshape(shape)
        };
        let gradient =
            |frozen: bool, op: &dyn Fn(Tensor<Ad, 2>, Tensor<Ad, 2>) -> Tensor<Ad, 1>| {
                let x = values([3, 4], 0).require_grad();
                let mut weight = values([3, 4], 40);
                if !frozen {
                    weight = weight.require_grad();
                }
                let gradients = op(x.clone(), weight.clone()).sum().backward();
                assert_eq!(weight.grad(&gradients).is_some(), !frozen);
                let found = x.grad(&gradients).expect("it needs one");
                found.into_data().to_vec::<f32>().unwrap()
            };
        let project = |x: Tensor<Ad, 2>, weight: Tensor<Ad, 2>| {
            Ad::project(x, weight.transpose()).flatten(0, 1)
        };
        let logps = |x, head| Ad::token_logps(x, head, &[2, 0, 1]);
        let entropy = |x, head| Ad::entropy(x, head);
        for op in [&project as &dyn Fn(_, _) -> _, &logps, &entropy] {
            assert_eq!(gradient(true, op), gradient(false, op));
        }
    }
}
