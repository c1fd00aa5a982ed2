//! The product with a fixed weight and its adapters, against the default body.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::Flex;

use super::{close, noise};
use crate::ops::{Dropout, Fixed, LowRank, Ops, Packed, Packing, lora};

type Ad = Autodiff<Flex>;

fn matrix(shape: [usize; 2], seed: usize) -> Tensor<Ad, 2> {
    let values = TensorData::new(noise(shape[0] * shape[1], seed), shape);
    Tensor::from_data(values, &Default::default())
}

/// What a pass gives: the output, and the gradients of the input and of each adapter's two parts.
fn pass(
    weight: &Fixed<Ad>,
    dropout: Option<Dropout>,
    op: impl Fn(Tensor<Ad, 2>, &Fixed<Ad>, Vec<LowRank<Ad>>) -> Tensor<Ad, 2>,
) -> Vec<Vec<f32>> {
    let x = matrix([5, 70], 1).require_grad();
    let adapters: Vec<LowRank<Ad>> = [(0, 9), (12, 4), (16, 5)]
        .into_iter()
        .map(|(start, outputs)| LowRank {
            a: matrix([70, 3], start + 2).require_grad(),
            b: matrix([3, outputs], start + 3).require_grad(),
            magnitude: None,
            start,
            scale: 0.75,
            dropout,
        })
        .collect();
    let y = op(x.clone(), weight, adapters.clone());
    let gradients = y.clone().mul(matrix(y.dims(), 9)).sum().backward();
    let trained = adapters.into_iter().flat_map(|it| [it.a, it.b]);
    let of = |it: Tensor<Ad, 2>| it.grad(&gradients).expect("it is trained").into_data();
    let mut found = vec![y.into_data()];
    found.extend(std::iter::once(x).chain(trained).map(of));
    found
        .into_iter()
        .map(|data| data.iter::<f32>().collect())
        .collect()
}

#[test]
fn adapters_add_what_the_default_body_adds() {
    let held = |tensor| Fixed {
        tensor,
        packed: None,
    };
    let f32 = held(matrix([70, 24], 4));
    let bf16 = held(f32.tensor.clone().cast(burn::tensor::FloatDType::BF16));
    let packed = |packing| Fixed {
        tensor: matrix([0, 0], 0),
        packed: Some(Arc::new(Packed::new(&noise(24 * 70, 4), [24, 70], packing))),
    };
    let mut outputs = Vec::new();
    for weight in [f32, bf16, packed(Packing::Int8), packed(Packing::Nf4)] {
        assert_eq!(weight.dense(DType::F32).dims(), [70, 24]);
        for dropout in [None, Some(Dropout { rate: 0.3, seed: 7 })] {
            let plain = pass(&weight, dropout, |x, weight, it| {
                lora::adapted(x, weight, &it, Ad::project)
            });
            let fused = pass(&weight, dropout, Ad::adapted);
            for (fused, plain) in fused.iter().zip(&plain) {
                close(fused, plain).unwrap();
            }
            outputs.push(fused[0].clone());
        }
    }
    assert_ne!(outputs[0], outputs[1], "dropout leaves something out");
}

#[test]
fn dropout_leaves_out_its_share_and_keeps_the_mean() {
    let dropout = Dropout {
        rate: 0.25,
        seed: 3,
    };
    let factors: Vec<f32> = (0..40_000).map(|at| dropout.factor(at)).collect();
    let out = factors.iter().filter(|it| **it == 0.0).count();
    assert!((9_500..10_500).contains(&out), "{out}");
    let mean = factors.iter().sum::<f32>() / 40_000.0;
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    assert!(
        factors
            .iter()
            .all(|it| *it == 0.0 || (*it - 4.0 / 3.0).abs() < 1e-6)
    );
}
