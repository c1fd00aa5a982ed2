//! Each kernel against torch in f64: values and gradients (tests/fixtures/ops.json, written by
//! scripts/make_op_references.py).

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use serde_json::Value;

use super::{Ad, noise, trees};
use crate::ops::{Activation, AdamWStep, Moved, Ops, TreeView};

type Op<'a> = &'a dyn Fn(&[Tensor<Ad, 2>]) -> Tensor<Ad, 2>;

fn expected() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/ops.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn close(found: &[f32], expected: &Value, what: &str) {
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    for (f, e) in found.iter().zip(&expected) {
        assert!(
            (f64::from(*f) - e).abs() <= 1e-5 * largest,
            "{what}: {f} {e}"
        );
    }
}

/// Runs `op` on noise of these shapes, seeds and scales.
fn check(name: &str, inputs: &[([usize; 2], usize, f32)], op: Op) {
    let expected = &expected()[name];
    let inputs: Vec<Tensor<Ad, 2>> = inputs
        .iter()
        .map(|&(shape, seed, scale)| {
            let values: Vec<f32> = noise(shape.iter().product(), seed);
            let values = values.iter().map(|v| v * scale).collect();
            Tensor::from_data(TensorData::new(values, shape), &Default::default()).require_grad()
        })
        .collect();
    let out = op(&inputs);
    let list = |data: TensorData| data.iter::<f32>().collect::<Vec<_>>();
    close(&list(out.to_data()), &expected["out"], name);
    let weights = TensorData::new(noise(out.shape().num_elements(), 5), out.dims());
    let weights = Tensor::from_data(weights, &Default::default());
    let grads = out.mul(weights).sum().backward();
    for (index, input) in inputs.iter().enumerate() {
        let grad = input.grad(&grads).expect("every input is tracked");
        close(&list(grad.into_data()), &expected["grads"][index], name);
    }
}

#[test]
fn kernels_are_torch() {
    let view = Arc::new(trees(
        1,
        &[0, 1, 2, 3, 2, 3, 4, 1, 2, 0, 1, 2, 2],
        [2, 2, 4],
        None,
        true,
    ));
    let capped = Arc::new(TreeView {
        scale: 0.4,
        cap: Some(0.7),
        ..(*view).clone()
    });
    for (name, view) in [("tree_attention", &view), ("capped_attention", &capped)] {
        check(name, &[([13, 64], 3, 1.0)], &|x| {
            Ad::tree_attention(x[0].clone().unsqueeze(), view).squeeze_dim(0)
        });
    }
    let targets: Vec<u32> = (0..7).map(|i| i * 31 % 23).collect();
    for (name, cap) in [("token_logps", None), ("capped_logps", Some(0.9))] {
        check(name, &[([7, 10], 4, 1.0), ([23, 10], 9, 1.0)], &|x| {
            Ad::token_logps(x[0].clone(), x[1].clone(), &targets, cap).unsqueeze()
        });
    }
    check(
        "capped_entropy",
        &[([7, 10], 4, 1.0), ([23, 10], 9, 1.0)],
        &|x| Ad::entropy(x[0].clone(), x[1].clone(), Some(0.9)).unsqueeze(),
    );
    let row = |x: &Tensor<Ad, 2>| x.clone().squeeze_dim::<1>(0);
    check(
        "rms_norm",
        &[([5, 10], 11, 1.0), ([1, 10], 12, 1.0)],
        &|x| Ad::norm(x[0].clone().unsqueeze(), row(&x[1]), None, 1e-2).squeeze_dim(0),
    );
    let inputs = [([5, 10], 11, 1.0), ([1, 10], 12, 1.0), ([1, 10], 13, 1.0)];
    check("layer_norm", &inputs, &|x| {
        Ad::norm(x[0].clone().unsqueeze(), row(&x[1]), Some(row(&x[2])), 1e-2).squeeze_dim(0)
    });
    for (name, kind) in [
        ("swiglu", Activation::SwiGlu),
        ("geglu", Activation::GeGlu),
        ("geglu_tanh", Activation::GeGluTanh),
        ("gelu", Activation::Gelu),
        ("gelu_tanh", Activation::GeluTanh),
    ] {
        check(name, &[([3, 16], 6, 4.0)], &|x| {
            Ad::activate(x[0].clone().unsqueeze(), kind).squeeze_dim(0)
        });
    }
    check("embed", &[([6, 4], 7, 1.0)], &|x| {
        Ad::embed(x[0].clone(), &[3, 1, 3, 0])
    });
    check("project", &[([5, 10], 11, 1.0), ([10, 7], 8, 1.0)], &|x| {
        Ad::project(x[0].clone(), x[1].clone())
    });
}

#[test]
fn adamw_takes_the_steps_of_torch() {
    let vector = |values: Vec<f32>| -> Tensor<Flex, 1> {
        Tensor::from_data(TensorData::new(values, [50]), &Default::default())
    };
    let mut moved = Moved {
        value: vector(noise(50, 1)),
        first: vector(vec![0.0; 50]),
        second: vector(vec![0.0; 50]),
    };
    for (step, seed) in [(1, 2), (2, 3)] {
        let gradient = vector(noise(50, seed));
        let squares = Flex::square_sum(gradient.clone()).into_data();
        let norm = squares.iter::<f64>().next().unwrap().sqrt();
        let constants = AdamWStep {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip: (1.0 / (norm + 1e-6)).min(1.0),
            keep: 1.0 - 0.02 * 0.1,
            rate: 0.02 / (1.0 - 0.9f64.powi(step)),
            second_scale: (1.0 - 0.999f64.powi(step)).sqrt(),
        };
        moved = Flex::adamw(moved, gradient, &constants);
    }
    let found: Vec<f32> = moved.value.into_data().iter::<f32>().collect();
    close(&found, &expected()["adamw"], "adamw");
}
