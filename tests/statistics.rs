//! What an objective reads of a whole step, or of a whole validation set, does not depend on how it is cut
//! into batches.

use burn::module::AutodiffModule;
use rapport::model::Decoder;
use rapport::model::config::Family;
use rapport::objective::{Objective, Running, Statistics};
use rapport::train::{Dataset, branch_logps, evaluate, gradients};

use crate::packing::{BETA, bco, dataset, dialogues, kto, objectives};
use crate::support::{Ad, config, flatten, model};

/// Log-ratio of policy to reference of every branch, each example alone.
fn ratios(model: &Decoder<Ad>, set: &Dataset, objective: &Objective) -> Vec<Vec<f64>> {
    let logps = branch_logps(&model.valid(), set, objective, 1, |_| true).unwrap();
    let of = |(example, logps): (usize, &Vec<f32>)| {
        let pairs = logps.iter().zip(set.examples.reference(example));
        pairs.map(|(p, q)| f64::from(p - q)).collect()
    };
    logps.iter().enumerate().map(of).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[test]
fn statistics_are_of_the_whole_step_however_it_is_cut() {
    let device = Default::default();
    let models = [2, 3].map(|seed| model::<Ad>(&config(Family::Llama), seed, &device));
    for objective in [kto(), bco()] {
        let set = dataset(dialogues(&objective), false);
        let steps = [0..8, 1..9];
        // Losses of two steps, KTO's KL and BCO's shift after each, cut into batches of `size`.
        let run = |size: usize| {
            let mut running = Running::default();
            let step = |(model, units): (&Decoder<Ad>, std::ops::Range<usize>)| {
                let units: Vec<usize> = units.collect();
                let batches: Vec<_> = units
                    .chunks(size)
                    .map(|units| set.batch(units, &objective))
                    .collect();
                let (gradients, line) = gradients(model, &objective, &batches, &mut running);
                let kl = line.get("kl").map_or(0.0, |kl| kl.as_f64().unwrap());
                let numbers = [line["loss"].as_f64().unwrap(), kl, running.mean()];
                (numbers, flatten(model, gradients))
            };
            models
                .iter()
                .zip(steps.clone())
                .map(step)
                .collect::<Vec<_>>()
        };
        let whole = run(8);
        // By hand, in f64.
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut rewards = Vec::new();
        for ((model, units), (found, _)) in models.iter().zip(steps.clone()).zip(&whole) {
            let ratios = &ratios(model, &set, &objective)[units.clone()];
            let labels = units.map(|unit| set.examples.desirable(unit).unwrap());
            let all = labels.zip(ratios);
            let [loss, kl, shift] = match objective.branches() {
                2 => {
                    let kl = mean(ratios.iter().map(|ratio| ratio[1]));
                    assert!(kl > 1.0, "an estimate that is not clamped: {kl}");
                    let losses = all.map(|(label, ratio)| match label {
                        true => 1.5 * (1.0 - sigmoid(BETA * (ratio[0] - kl))),
                        false => 1.0 - sigmoid(BETA * (kl - ratio[0])),
                    });
                    [mean(losses.collect::<Vec<_>>().into_iter()), kl, 0.0]
                }
                _ => {
                    rewards.extend(ratios.iter().map(|ratio| BETA * ratio[0]));
                    let shift = mean(rewards.iter().copied());
                    let losses = all.map(|(label, ratio)| {
                        let above = BETA * ratio[0] - shift;
                        -sigmoid(if label { above } else { -above }).ln()
                    });
                    [mean(losses.collect::<Vec<_>>().into_iter()), 0.0, shift]
                }
            };
            for (found, by_hand) in found.iter().zip([loss, kl, shift]) {
                assert!(
                    (found - by_hand).abs() < 1e-5 * by_hand.abs().max(1.0),
                    "{found} {by_hand}"
                );
            }
        }
        for size in [1, 3] {
            for ((numbers, gradient), (of_whole, whole)) in run(size).iter().zip(&whole) {
                for (a, b) in numbers.iter().zip(of_whole) {
                    assert!(
                        (a - b).abs() < 1e-5 * b.abs().max(1.0),
                        "{numbers:?} {of_whole:?}"
                    );
                }
                let norm = whole.iter().map(|g| g * g).sum::<f32>().sqrt();
                assert!(norm > 1e-2, "a gradient to compare with");
                for (a, b) in gradient.iter().zip(whole) {
                    assert!((a - b).abs() <= 1e-5 * norm.max(1.0), "{a} {b}");
                }
            }
        }
    }
}

#[test]
fn an_evaluation_does_not_depend_on_how_many_examples_are_scored_at_once() {
    let device = Default::default();
    let model = model::<Ad>(&config(Family::Llama), 2, &device);
    let mut running = Running::default();
    running.update(&Statistics {
        examples: 10,
        rewards: 7.0,
        kl: 0.0,
    });
    for objective in objectives() {
        let run = |grouped: bool, size: usize| {
            let set = dataset(dialogues(&objective), grouped);
            evaluate(&model.valid(), &set, &objective, size, &running)
        };
        let whole = run(false, 9);
        for (grouped, size) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
            let found = run(grouped, size);
            assert!(
                (found.loss - whole.loss).abs() < 1e-5 * whole.loss.abs().max(1.0),
                "{objective:?}: {found:?} {whole:?}"
            );
            assert_eq!(found.accuracy, whole.accuracy);
        }
        // The shift is that of training.
        let unshifted = evaluate(
            &model.valid(),
            &dataset(dialogues(&objective), false),
            &objective,
            9,
            &Running::default(),
        );
        assert_eq!(unshifted == whole, objective != bco());
    }
}
