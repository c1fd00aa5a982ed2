//! Which gradients an operation is asked for, by the first backend that has kernels.

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn_flex::Flex;

use burn::backend::Autodiff;
use burn::tensor::Tensor;

use crate::ops::Ops;
use crate::ops::record::{raw, record};

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
    let gradient = |frozen: bool, op: &dyn Fn(Tensor<Ad, 2>, Tensor<Ad, 2>) -> Tensor<Ad, 1>| {
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
    let project =
        |x: Tensor<Ad, 2>, weight: Tensor<Ad, 2>| Ad::project(x, weight.transpose()).flatten(0, 1);
    let logps = |x, head| Ad::token_logps(x, head, &[2, 0, 1], None);
    let entropy = |x, head| Ad::entropy(x, head, None);
    for op in [&project as &dyn Fn(_, _) -> _, &logps, &entropy] {
        assert_eq!(gradient(true, op), gradient(false, op));
    }
}
