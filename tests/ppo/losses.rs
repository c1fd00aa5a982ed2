//! The clipped losses and the entropy, with their gradients, against loops and finite differences.

use burn::tensor::{Tensor, TensorData};
use rapport::model::weights::host;
use rapport::ops::Ops;
use rapport::train::ppo::kl::{KlEstimator, k3};
use rapport::train::ppo::losses::{policy, value};

use crate::support::Ad;

fn vector(values: &[f64]) -> Tensor<Ad, 1> {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &Default::default())
}

fn close(found: &[f32], expected: &[f64], within: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= within * expected.abs().max(1.0),
            "{found} for {expected}"
        );
    }
}

/// Slopes of `of` at each of `at`, by central differences in f64.
fn slopes(at: &[f64], of: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let slope =
        |(index, &x): (usize, &f64)| (of(index, x + STEP) - of(index, x - STEP)) / (2.0 * STEP);
    at.iter().enumerate().map(slope).collect()
}

// Inside the range, beyond it either way, with gains and losses to be had.
const LOG_RATIOS: [f64; 8] = [0.0, 0.1, -0.1, 0.5, 0.5, -0.5, -0.5, 1.3];
const ADVANTAGES: [f64; 8] = [1.0, -2.0, 0.5, 1.5, -1.5, 1.5, -1.5, 0.0];

#[test]
fn the_policy_loss_is_the_larger_of_free_and_clipped() {
    const RANGE: f64 = 0.2;
    let loss = |i: usize, x: f64| {
        let (ratio, advantage) = (x.exp(), ADVANTAGES[i]);
        (-advantage * ratio).max(-advantage * ratio.clamp(1.0 - RANGE, 1.0 + RANGE))
    };
    let log_ratios = vector(&LOG_RATIOS).require_grad();
    let found = policy(log_ratios.clone(), vector(&ADVANTAGES), RANGE);
    let expected: Vec<f64> = (0..8).map(|i| loss(i, LOG_RATIOS[i])).collect();
    close(&host(found.losses.clone().inner()), &expected, 1e-6);
    // Only what would gain from moving further is held: up with a gain, down with a loss.
    let clipped = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0];
    assert_eq!(host(found.clipped.inner()), clipped);
    let gradient = log_ratios.grad(&found.losses.sum().backward()).unwrap();
    close(&host(gradient), &slopes(&LOG_RATIOS, loss), 1e-5);
}

#[test]
fn the_value_loss_is_the_larger_of_free_and_clipped() {
    const RANGE: f64 = 0.2;
    const VALUES: [f64; 6] = [0.1, 0.5, 0.5, -0.7, -0.7, 3.0];
    const OLD: [f64; 6] = [0.0, 0.0, 0.0, 0.0, 0.0, 2.9];
    const RETURNS: [f64; 6] = [1.0, 1.0, -1.0, 1.0, -1.0, 3.5];
    let loss = |i: usize, x: f64| {
        let clipped = x.clamp(OLD[i] - RANGE, OLD[i] + RANGE);
        0.5 * (x - RETURNS[i]).powi(2).max((clipped - RETURNS[i]).powi(2))
    };
    let values = vector(&VALUES).require_grad();
    let found = value(values.clone(), vector(&OLD), vector(&RETURNS), RANGE);
    let expected: Vec<f64> = (0..6).map(|i| loss(i, VALUES[i])).collect();
    close(&host(found.losses.clone().inner()), &expected, 1e-6);
    assert_eq!(host(found.clipped.inner()), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    let gradient = values.grad(&found.losses.sum().backward()).unwrap();
    close(&host(gradient), &slopes(&VALUES, loss), 1e-5);
}

#[test]
fn k3_of_tensors_is_k3_of_numbers_with_its_slope() {
    const POLICY: [f64; 4] = [-1.0, -2.5, -0.1, -4.0];
    const REFERENCE: [f64; 4] = [-1.0, -1.5, -2.0, -4.2];
    let estimate = |i: usize, x: f64| KlEstimator::K3.of(x, REFERENCE[i]);
    let policy = vector(&POLICY).require_grad();
    let found = k3(policy.clone(), vector(&REFERENCE));
    let expected: Vec<f64> = (0..4).map(|i| estimate(i, POLICY[i])).collect();
    close(&host(found.clone().inner()), &expected, 1e-6);
    let gradient = policy.grad(&found.sum().backward()).unwrap();
    close(&host(gradient), &slopes(&POLICY, estimate), 1e-5);
}

#[test]
fn entropy_and_its_gradients_are_those_of_the_distribution() {
    const ROWS: usize = 3;
    const HIDDEN: usize = 4;
    const VOCABULARY: usize = 5;
    let hidden: Vec<f64> = (0..ROWS * HIDDEN).map(|i| (i as f64 * 1.7).sin()).collect();
    let head: Vec<f64> = (0..VOCABULARY * HIDDEN)
        .map(|i| (i as f64 * 0.9).cos())
        .collect();
    let entropy = |hidden: &[f64], head: &[f64], row: usize| -> f64 {
        let dot = |token: usize| -> f64 {
            let terms = 0..HIDDEN;
            terms
                .map(|k| hidden[row * HIDDEN + k] * head[token * HIDDEN + k])
                .sum()
        };
        let weights: Vec<f64> = (0..VOCABULARY).map(|token| dot(token).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| -w / total * (w / total).ln()).sum()
    };
    // Rows count differently, so that a gradient of the wrong row shows.
    let weighed = |hidden: &[f64], head: &[f64]| -> f64 {
        (0..ROWS)
            .map(|row| (row + 1) as f64 * entropy(hidden, head, row))
            .sum()
    };
    let moved = |values: &[f64], index: usize, x: f64| {
        let mut values = values.to_vec();
        values[index] = x;
        values
    };
    let x = vector(&hidden).require_grad();
    let w = vector(&head).require_grad();
    let found = Ad::entropy(
        x.clone().reshape([ROWS, HIDDEN]),
        w.clone().reshape([VOCABULARY, HIDDEN]),
        None,
    );
    let expected: Vec<f64> = (0..ROWS).map(|row| entropy(&hidden, &head, row)).collect();
    close(&host(found.clone().inner()), &expected, 1e-6);
    let gradients = (found * vector(&[1.0, 2.0, 3.0])).sum().backward();
    let on_hidden = slopes(&hidden, |i, x| weighed(&moved(&hidden, i, x), &head));
    let on_head = slopes(&head, |i, x| weighed(&hidden, &moved(&head, i, x)));
    close(&host(x.grad(&gradients).unwrap()), &on_hidden, 1e-5);
    close(&host(w.grad(&gradients).unwrap()), &on_head, 1e-5);
}
