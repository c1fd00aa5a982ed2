//! Losses of scoring heads: against torch, naive loops, slopes and TRL's trainer, in whole and in parts.

use burn::tensor::{Tensor, TensorData};
use rapport::model::config::{Family, Problem, ScoreHead};
use rapport::objective::{Branches, Normaliser, Objective, Running, Score, Shared, Totals};
use rapport::train::{Dataset, Examples, Sequence, TrainExample, gradients};
use serde_json::Value;

use super::{floats, json, near};
use crate::parity::fixtures;
use crate::support::{Ad, config, flatten, model};
use crate::trl;

fn cases() -> Vec<Value> {
    let cases = json(&fixtures().join("scores/losses.json"))["cases"].take();
    let Value::Array(cases) = cases else {
        panic!("a list of cases")
    };
    assert_eq!(cases.len(), 7);
    cases
}

fn score(case: &Value) -> Score {
    match case["loss"].as_str().unwrap() {
        "regression" => Score::Regression {
            weights: floats(&case["weights"]),
        },
        "bradley-terry" => Score::BradleyTerry {
            centre: case["centre"].as_f64().unwrap(),
        },
        _ => Score::Classification {
            classes: case["classes"].as_u64().unwrap() as usize,
        },
    }
}

/// Each example's targets, NaN for those that are missing; empty where the case has none.
fn targets(case: &Value) -> Vec<Vec<f32>> {
    let rows = case["targets"].as_array().cloned().unwrap_or_default();
    let numbers = |row: &Value| -> Vec<f32> {
        let values = row.as_array().unwrap().iter();
        values
            .map(|it| it.as_f64().unwrap_or(f64::NAN) as f32)
            .collect()
    };
    rows.iter().map(numbers).collect()
}

/// Loss and gradient of the examples from `from` to `to`, normalised as the whole.
fn part(case: &Value, (from, to): (usize, usize)) -> (rapport::objective::Loss<Ad>, Vec<f64>) {
    let objective = Objective::Score(score(case));
    let (outputs, targets) = (floats(&case["outputs"]), targets(case));
    let examples = examples(case);
    let each = outputs.len() / examples;
    let normaliser: Normaliser = (0..examples)
        .map(|at| Normaliser {
            examples: 1,
            tokens: 1,
            weight: objective.weight(targets.get(at).map_or(&[], |it| it)),
        })
        .sum();
    let own = &outputs[from * each..to * each];
    let data = TensorData::new(own.to_vec(), [own.len()]).convert::<f32>();
    let policy = Tensor::<Ad, 1>::from_data(data, &Default::default()).require_grad();
    let branches = Branches {
        policy: policy.clone(),
        reference: None,
        lengths: Tensor::ones([(to - from) * objective.branches()], &Default::default()),
        desirable: Vec::new(),
        targets: targets
            .iter()
            .skip(from)
            .take(to - from)
            .flatten()
            .copied()
            .collect(),
    };
    let loss = objective.loss(&branches, &normaliser, &Shared::default());
    let gradient = policy.grad(&loss.value.backward()).unwrap();
    (loss, gradient.into_data().iter::<f64>().collect())
}

fn examples(case: &Value) -> usize {
    match case["loss"] == "bradley-terry" {
        true => floats(&case["outputs"]).len() / 2,
        false => case["targets"].as_array().unwrap().len(),
    }
}

fn number(value: &Tensor<Ad, 1>) -> f64 {
    value.to_data().iter::<f64>().next().unwrap()
}

/// The loss by loops over examples, in f64.
fn naive(case: &Value, outputs: &[f64]) -> f64 {
    let targets = targets(case);
    let each = outputs.len() / examples(case);
    let (mut sum, mut weight) = (0.0, 0.0);
    for (at, own) in outputs.chunks(each).enumerate() {
        match score(case) {
            Score::Regression { weights } => {
                for ((output, target), of) in own.iter().zip(&targets[at]).zip(&weights) {
                    if !target.is_nan() {
                        sum += of * (output - f64::from(*target)).powi(2);
                        weight += of;
                    }
                }
            }
            Score::BradleyTerry { centre } => {
                let margin = targets.get(at).map_or(0.0, |it| f64::from(it[0]));
                let apart = own[0] - own[1] - margin;
                sum += (1.0 + (-apart).exp()).ln() + centre * (own[0] + own[1]).powi(2);
                weight += 1.0;
            }
            Score::Classification { .. } => {
                let total: f64 = own.iter().map(|it| it.exp()).sum();
                sum += total.ln() - own[targets[at][0] as usize];
                weight += 1.0;
            }
        }
    }
    sum / weight
}

#[test]
fn losses_and_gradients_are_those_of_torch_and_of_loops() {
    for case in cases() {
        let (loss, gradient) = part(&case, (0, examples(&case)));
        let value = number(&loss.value);
        near(&[value], &[case["value"].as_f64().unwrap()], 1e-6);
        near(&gradient, &floats(&case["gradient"]), 1e-6);
        let outputs = floats(&case["outputs"]);
        near(&[value], &[naive(&case, &outputs)], 1e-6);
        let slope = |at: usize| {
            let moved = |by: f64| {
                let mut outputs = outputs.clone();
                outputs[at] += by;
                naive(&case, &outputs)
            };
            (moved(1e-5) - moved(-1e-5)) / 2e-5
        };
        let slopes: Vec<f64> = (0..outputs.len()).map(slope).collect();
        near(&gradient, &slopes, 1e-6);
        assert!(slopes.iter().any(|it| it.abs() > 0.05), "{slopes:?}");
    }
}

#[test]
fn parts_of_a_batch_add_up_however_ratings_are_missing() {
    for case in cases() {
        let examples = examples(&case);
        let (whole, expected) = part(&case, (0, examples));
        let mut all = Totals::default();
        all.add(whole);
        let (mut parts, mut gradient) = (Totals::default(), Vec::new());
        for range in [(0, 1), (1, 3), (3, examples)] {
            let (loss, own) = part(&case, range);
            parts.add(loss);
            gradient.extend(own);
        }
        near(&[parts.loss], &[all.loss], 1e-6);
        near(&gradient, &expected, 1e-6);
        for (name, mean) in all.means() {
            near(&[parts.mean(name).unwrap()], &[mean], 1e-6);
        }
    }
}

#[test]
fn metrics_are_over_all_examples() {
    let case = cases()
        .into_iter()
        .find(|it| it["loss"] == "bradley-terry" && !it["targets"].is_null());
    let case = case.unwrap();
    let outputs = floats(&case["outputs"]);
    let mut totals = Totals::default();
    totals.add(part(&case, (0, examples(&case))).0);
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let apart: Vec<f64> = outputs.chunks(2).map(|pair| pair[0] - pair[1]).collect();
    let right = apart
        .iter()
        .map(|it| f64::from(u8::from(*it > 0.0)))
        .collect();
    near(&[totals.mean("accuracy").unwrap()], &[mean(right)], 1e-6);
    near(&[totals.mean("margin").unwrap()], &[mean(apart)], 1e-6);
    near(
        &[totals.mean("mean_reward").unwrap()],
        &[mean(outputs)],
        1e-6,
    );
}

/// Eight examples of a head with three outputs, for each objective; ratings are missing unevenly.
fn sets() -> [(Objective, usize, Dataset); 3] {
    let set = |branches: u32, targets: Vec<f32>| {
        let mut examples: Examples = (0..8u32)
            .map(|i| TrainExample {
                sequences: (0..branches)
                    .map(|branch| {
                        let length = 4 + (i * 3 + branch) % 7;
                        Sequence {
                            tokens: (0..=length)
                                .map(|j| (i * 5 + j * j + branch * j) % 50)
                                .collect(),
                            scored_from: length as usize,
                        }
                    })
                    .collect(),
                reference: Vec::new(),
            })
            .collect();
        examples.set_targets(targets);
        Dataset {
            examples,
            units: (0..8).map(|i| vec![i]).collect(),
            shuffle: false,
        }
    };
    let rating = |at: usize| match (at / 3, at % 3) {
        // Nothing of one example, one of another, all of the last.
        (2, _) | (4, 0) | (4, 1) | (0 | 1 | 5, 2) => f32::NAN,
        _ => (at as f32 * 0.7).sin() * 2.0,
    };
    [
        (
            Score::Regression {
                weights: vec![1.0, 0.5, 2.0],
            },
            3,
            set(1, (0..24).map(rating).collect()),
        ),
        (
            Score::BradleyTerry { centre: 0.05 },
            1,
            set(2, (0..8).map(|at| at as f32 / 4.0).collect()),
        ),
        (
            Score::Classification { classes: 3 },
            3,
            set(1, (0..8).map(|at| (at % 3) as f32).collect()),
        ),
    ]
    .map(|(score, outputs, set)| (Objective::Score(score), outputs, set))
}

#[test]
fn one_batch_of_eight_is_eight_of_one_and_recomputing_changes_nothing() {
    for family in [Family::Llama, Family::Gpt2] {
        for (objective, outputs, set) in sets() {
            let labels = (0..outputs).map(|at| at.to_string()).collect();
            let head = ScoreHead::plain(labels, Problem::Regression);
            let mut model = model::<Ad>(&config(family).with_score(head), 2, &Default::default());
            let mut run = |size: usize, recompute: bool| {
                model.compute.recompute = recompute;
                let batches: Vec<_> = set
                    .micro_batches(0, 0, size)
                    .iter()
                    .map(|units| set.batch(units, &objective))
                    .collect();
                let (gradients, line) =
                    gradients(&model, &objective, &batches, &mut Running::default());
                (flatten(&model, gradients), line["loss"].as_f64().unwrap())
            };
            let (alone, loss_alone) = run(1, false);
            let norm = alone.iter().map(|g| g * g).sum::<f32>().sqrt();
            assert!(
                norm > 1e-2 && loss_alone.is_finite(),
                "{norm}, {loss_alone}"
            );
            for (size, recompute) in [(8, false), (3, false), (8, true), (3, true)] {
                let (gradient, loss) = run(size, recompute);
                near(&[loss], &[loss_alone], 1e-5);
                for (a, b) in gradient.iter().zip(&alone) {
                    assert!(
                        (a - b).abs() <= 1e-5 * norm.max(1.0),
                        "{family:?}, {objective:?}: {a} {b}"
                    );
                }
            }
        }
    }
}

/// TRL appends EOS to a text; its padding token is the same, so that both read the last token of the text itself.
#[test]
fn a_reward_model_takes_the_steps_of_trl() {
    let work = tempfile::tempdir().unwrap();
    let (expected, sets) = trl::settings("trl_reward", "pairs.jsonl");
    let ours = trl::rapport(work.path(), "reward", &sets);
    trl::compare(
        &ours,
        &expected,
        &[
            ("loss", 1e-4),
            ("grad_norm", 1e-3),
            ("learning_rate", 1e-9),
            ("accuracy", 1e-9),
            ("margin", 1e-4),
            ("mean_reward", 1e-4),
        ],
    );
    let config = json(&work.path().join("out/model/config.json"));
    assert_eq!(config["architectures"][0], "LlamaForSequenceClassification");
    assert_eq!(config["id2label"]["0"], "reward");
}
