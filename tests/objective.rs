//! DPO's value and gradient against the closed form in f64.

use burn::tensor::{Tensor, TensorData};
use rapport::objective::Objective;
use rapport::objective::dpo::Dpo;

use crate::support::Ad;

/// Policy and reference of four pairs, chosen then rejected; ordinary margins, none, and huge ones.
const POLICY: [f64; 8] = [-10.0, -12.0, -30.5, -28.0, -7.0, -7.0, -1.0, -2000.0];
const REFERENCE: [f64; 8] = [-11.0, -11.5, -31.0, -28.5, -7.0, -7.0, -900.0, -3.0];

fn tensor(values: &[f64]) -> Tensor<Ad, 1> {
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_data(TensorData::new(values, [8]), &Default::default())
}

#[test]
fn dpo_is_its_closed_form() {
    for (beta, smoothing) in [(0.1, 0.0), (0.5, 0.0), (0.5, 0.2)] {
        let objective = Objective::Dpo(Dpo {
            beta,
            label_smoothing: smoothing,
        });
        let policy = tensor(&POLICY).require_grad();
        let loss = objective.loss(policy.clone(), Some(tensor(&REFERENCE)), 4);
        let value: f32 = loss.value.clone().into_scalar();
        let gradient = policy.grad(&loss.value.backward()).unwrap().into_data();
        let gradient: Vec<f64> = gradient.iter::<f64>().collect();

        let log_sigmoid = |x: f64| -((-x.abs()).exp().ln_1p() + (-x).max(0.0));
        let sigmoid = |x: f64| log_sigmoid(x).exp();
        let mut expected = 0.0;
        for pair in 0..4 {
            let (chosen, rejected) = (2 * pair, 2 * pair + 1);
            let ratio = |at: usize| POLICY[at] - REFERENCE[at];
            let margin = beta * (ratio(chosen) - ratio(rejected));
            expected -= (1.0 - smoothing) * log_sigmoid(margin) + smoothing * log_sigmoid(-margin);
            let slope = (1.0 - smoothing) * sigmoid(-margin) - smoothing * sigmoid(margin);
            let slope = -beta * slope / 4.0;
            assert!(
                (gradient[chosen] - slope).abs() < 1e-6,
                "{beta} {smoothing} pair {pair}"
            );
            assert!(
                (gradient[rejected] + slope).abs() < 1e-6,
                "{beta} {smoothing} pair {pair}"
            );
        }
        expected /= 4.0;
        assert!(
            (f64::from(value) - expected).abs() <= 1e-5 * expected,
            "{value} {expected}"
        );
        let metric = |name: &str| -> f64 {
            let found = loss.sums.iter().find(|(known, _)| *known == name);
            f64::from(found.unwrap().1.clone().into_scalar())
        };
        // A tie counts as wrong, as in TRL.
        assert_eq!(metric("rewards/accuracies"), 2.0);
        let margins = metric("rewards/chosen") - metric("rewards/rejected");
        assert!((metric("rewards/margins") - margins).abs() < 1e-3);
    }
}

#[test]
fn sft_divides_by_the_whole_steps_tokens() {
    let loss = Objective::Sft.loss(tensor(&POLICY), None, 16);
    let value: f32 = loss.value.into_scalar();
    assert!((f64::from(value) - 2095.5 / 16.0).abs() < 1e-3, "{value}");
}
