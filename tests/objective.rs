//! Every objective's values and gradients against the papers' equations, computed apart from this program in
//! 60 digits, and against TRL's own losses (tests/fixtures/objectives, written by
//! scripts/make_objective_references.py).

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use rapport::objective::{
    Branches, Loss, Normaliser, Objective, Running, Shared, Sigmoid, Statistics, Totals,
    desensitised,
};
use rapport::stage::settings::keys::{Keys, Node, Reading, Scope};
use rapport::stage::settings::loss::{read_pairs, read_unpaired};
use serde_json::Value;

use crate::parity::fixtures;
use crate::support::Ad;

fn load(name: &str) -> Value {
    let path = fixtures().join("objectives").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn cases(fixture: &Value) -> &Vec<Value> {
    fixture["cases"].as_array().unwrap()
}

/// The objective that a case's keys are read as.
fn objective(case: &Value, read: fn(&mut Keys<'_>) -> Objective) -> Objective {
    let text = case["keys"].as_str().unwrap();
    let node = Node::parse(Path::new("case.toml"), text).unwrap();
    let (scope, mut found) = (Scope::default(), Reading::default());
    let mut keys = Keys::new(&scope, &node, &[], &mut found);
    let objective = read(&mut keys);
    drop(keys);
    assert!(found.problems.is_empty(), "{text}: {:?}", found.problems);
    objective
}

fn floats(value: &Value) -> Vec<f64> {
    let items = value.as_array().unwrap();
    items.iter().map(|item| item.as_f64().unwrap()).collect()
}

fn tensor(values: &[f64], precision: DType) -> Tensor<Ad, 1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (&Default::default(), precision))
}

/// Summed log-probs of a fixture's batch, and how many tokens each branch has.
struct Pairs {
    policy: Vec<f64>,
    reference: Vec<f64>,
    lengths: Vec<f64>,
}

impl Pairs {
    fn new(batch: &Value, objective: &Objective) -> Self {
        let tokens = |name: &str| -> Vec<Vec<f64>> {
            let branches = batch[name].as_array().unwrap();
            branches.iter().map(floats).collect()
        };
        let policy = tokens("policy");
        let places = policy.iter().enumerate();
        let branch: Vec<usize> = places.flat_map(|(at, t)| vec![at; t.len()]).collect();
        let weights = match objective.tail_weight() {
            Some(alpha) => desensitised::token_weights(&branch, alpha),
            None => vec![1.0; branch.len()],
        };
        let sums = |branches: Vec<Vec<f64>>| {
            let mut sums = vec![0.0; branches.len()];
            let logps = branches.into_iter().flatten();
            for ((logp, &branch), &weight) in logps.zip(&branch).zip(&weights) {
                sums[branch] += f64::from(weight) * logp;
            }
            sums
        };
        Self {
            lengths: policy.iter().map(|tokens| tokens.len() as f64).collect(),
            policy: sums(policy),
            reference: sums(tokens("reference")),
        }
    }

    fn normaliser(&self) -> Normaliser {
        Normaliser {
            examples: self.policy.len() / 2,
            tokens: self.lengths.iter().step_by(2).sum::<f64>() as usize,
            ..Default::default()
        }
    }

    /// The pairs from `from` on, up to `to`.
    fn part(&self, from: usize, to: usize) -> Self {
        let cut = |values: &[f64]| values[2 * from..2 * to].to_vec();
        Self {
            policy: cut(&self.policy),
            reference: cut(&self.reference),
            lengths: cut(&self.lengths),
        }
    }

    fn loss(
        &self,
        objective: &Objective,
        normaliser: &Normaliser,
        precision: DType,
    ) -> (Loss<Ad>, Tensor<Ad, 1>) {
        let policy = tensor(&self.policy, precision).require_grad();
        let needs = objective.needs_reference();
        let branches = Branches {
            policy: policy.clone(),
            reference: needs.then(|| tensor(&self.reference, precision)),
            lengths: tensor(&self.lengths, precision),
            desirable: Vec::new(),
            targets: Vec::new(),
        };
        let shared = Shared::default();
        (objective.loss(&branches, normaliser, &shared), policy)
    }

    fn value(&self, objective: &Objective, precision: DType) -> f64 {
        let (loss, _) = self.loss(objective, &self.normaliser(), precision);
        number(loss.value)
    }

    fn gradient(&self, objective: &Objective, precision: DType) -> (f64, Vec<f64>) {
        let (loss, policy) = self.loss(objective, &self.normaliser(), precision);
        value_and_gradient(&loss, &policy)
    }
}

fn number(value: Tensor<Ad, 1>) -> f64 {
    value.into_data().iter::<f64>().next().unwrap()
}

fn value_and_gradient(loss: &Loss<Ad>, policy: &Tensor<Ad, 1>) -> (f64, Vec<f64>) {
    let gradient = policy.grad(&loss.value.backward());
    let gradient = gradient.map_or(vec![0.0; policy.dims()[0]], |gradient| {
        gradient.into_data().iter::<f64>().collect()
    });
    (number(loss.value.clone()), gradient)
}

#[track_caller]
fn near(found: f64, expected: f64, within: f64, what: &str) {
    let apart = (found - expected).abs();
    assert!(
        apart <= within * expected.abs().max(1.0),
        "{what}: {found}, expected {expected}"
    );
}

/// Each element to within `within` of itself, or of a tenth of the largest: one that is what two larger terms
/// leave of each other is rounded as they are, in f32 to 1e-7 of them.
#[track_caller]
fn all_near(found: &[f64], expected: &[f64], within: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0f64, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let scale = expected.abs().max(largest / 10.0);
        assert!(
            (found - expected).abs() <= within * scale,
            "{what}: {found}, expected {expected}"
        );
    }
}

fn name(case: &Value) -> String {
    format!("{} on {}", case["keys"].as_str().unwrap(), case["batch"])
}

#[test]
fn losses_of_pairs_are_their_papers_and_trls() {
    let fixture = load("pairs.json");
    let mut with_trl = 0;
    for case in cases(&fixture) {
        let what = name(case);
        let objective = objective(case, read_pairs);
        let pairs = Pairs::new(
            &fixture["batches"][case["batch"].as_str().unwrap()],
            &objective,
        );
        let (value, gradient) = pairs.gradient(&objective, DType::F32);
        assert!(value.is_finite(), "{what}: {value}");
        assert!(
            gradient.iter().all(|g| g.is_finite()),
            "{what}: {gradient:?}"
        );
        // Beyond where exponents are capped the equations have nothing to compare with.
        let Some(expected) = case["value"].as_f64() else {
            continue;
        };
        near(value, expected, 1e-5, &what);
        all_near(&gradient, &floats(&case["gradient"]), 1e-5, &what);
        if let Some(trl) = case["trl"].as_f64() {
            with_trl += 1;
            near(value, trl, 1e-5, &format!("{what}, TRL's"));
        }
    }
    assert!(with_trl > 400, "{with_trl}");
}

/// In f64 nothing hides behind rounding.
#[cfg(any(feature = "flex", feature = "ndarray"))]
#[test]
fn losses_of_pairs_are_exact_in_f64_and_their_gradients_are_their_slopes() {
    let fixture = load("pairs.json");
    for case in cases(&fixture) {
        let what = name(case);
        let (Some(expected), Some("random")) = (case["value"].as_f64(), case["batch"].as_str())
        else {
            continue;
        };
        let objective = objective(case, read_pairs);
        let mut pairs = Pairs::new(&fixture["batches"]["random"], &objective);
        let (value, gradient) = pairs.gradient(&objective, DType::F64);
        // Weights of tails and the divergences' near-limits are themselves rounded to f32.
        near(value, expected, 1e-6, &what);
        all_near(&gradient, &floats(&case["gradient"]), 1e-6, &what);
        let mut slopes = Vec::new();
        for at in 0..gradient.len() {
            let here = pairs.policy[at];
            let mut moved = |by: f64| {
                pairs.policy[at] = here + by;
                pairs.value(&objective, DType::F64)
            };
            slopes.push((moved(1e-5) - moved(-1e-5)) / 2e-5);
            pairs.policy[at] = here;
        }
        all_near(&gradient, &slopes, 1e-5, &what);
    }
}

#[test]
fn metrics_are_those_that_trl_logs() {
    let fixture = load("pairs.json");
    let mut compared = 0;
    for case in cases(&fixture) {
        // There means are what is left of rewards a thousand times as large, in f32.
        if case["batch"] == "huge" {
            continue;
        }
        let objective = objective(case, read_pairs);
        let pairs = Pairs::new(
            &fixture["batches"][case["batch"].as_str().unwrap()],
            &objective,
        );
        let (loss, _) = pairs.loss(&objective, &pairs.normaliser(), DType::F32);
        let mut totals = Totals::default();
        totals.add(loss);
        for (metric, expected) in case["metrics"].as_object().unwrap() {
            compared += 1;
            let what = format!("{}: {metric}", name(case));
            near(
                totals.mean(metric).unwrap(),
                expected.as_f64().unwrap(),
                1e-5,
                &what,
            );
        }
    }
    assert!(compared > 1500, "{compared}");
}

#[test]
fn a_sum_is_the_sum_of_its_terms() {
    let fixture = load("pairs.json");
    let parse = |text: &str| objective(&serde_json::json!({ "keys": text }), read_pairs);
    let sum = parse("loss_type = [\"hinge\", \"cpo\", \"nca_pair\"]\nloss_weights = [0.5, 2, 3]");
    let pairs = Pairs::new(&fixture["batches"]["random"], &sum);
    let (value, gradient) = pairs.gradient(&sum, DType::F32);
    let mut expected = (0.0, vec![0.0; gradient.len()]);
    for (loss, weight) in [("hinge", 0.5), ("cpo", 2.0), ("nca_pair", 3.0)] {
        let alone = parse(&format!("loss_type = \"{loss}\""));
        let (value, gradient) = pairs.gradient(&alone, DType::F32);
        expected.0 += weight * value;
        let slopes = expected.1.iter_mut().zip(gradient);
        slopes.for_each(|(sum, slope)| *sum += weight * slope);
    }
    near(value, expected.0, 1e-6, "value");
    all_near(&gradient, &expected.1, 1e-5, "gradient");
}

#[test]
fn accumulated_micro_batches_are_the_large_batch() {
    let fixture = load("pairs.json");
    for case in cases(&fixture) {
        let what = name(case);
        // AOT's losses sort what is in a micro-batch.
        if case["batch"] != "random" || what.contains("\"aot") {
            continue;
        }
        let objective = objective(case, read_pairs);
        let pairs = Pairs::new(&fixture["batches"]["random"], &objective);
        let (value, gradient) = pairs.gradient(&objective, DType::F32);
        let (mut total, mut slopes) = (Totals::default(), Vec::new());
        for (from, to) in [(0, 1), (1, 4), (4, 6)] {
            let part = pairs.part(from, to);
            let (loss, policy) = part.loss(&objective, &pairs.normaliser(), DType::F32);
            slopes.extend(value_and_gradient(&loss, &policy).1);
            total.add(loss);
        }
        near(total.loss, value, 1e-6, &what);
        all_near(&slopes, &gradient, 1e-5, &what);
        let mut whole = Totals::default();
        whole.add(pairs.loss(&objective, &pairs.normaliser(), DType::F32).0);
        for (metric, mean) in whole.means() {
            near(
                total.mean(metric).unwrap(),
                mean,
                1e-6,
                &format!("{what}: {metric}"),
            );
        }
    }
}

#[test]
fn completions_that_are_certain_or_empty_leave_every_loss_finite() {
    let fixture = load("pairs.json");
    let pairs = Pairs {
        policy: vec![0.0, -3.0, -1e4, 0.0, 0.0, 0.0],
        reference: vec![-1e4, 0.0, 0.0, -1e4, 0.0, 0.0],
        lengths: vec![4.0, 2.0, 3.0, 1.0, 0.0, 0.0],
    };
    for case in cases(&fixture) {
        let (value, gradient) = pairs.gradient(&objective(case, read_pairs), DType::F32);
        let finite = value.is_finite() && gradient.iter().all(|g| g.is_finite());
        assert!(finite, "{}: {value}, {gradient:?}", name(case));
    }
}

#[test]
fn sft_divides_by_the_whole_steps_tokens() {
    let policy = tensor(&[-10.0, -12.5, -3.0], DType::F32);
    let branches = Branches {
        lengths: tensor(&[3.0, 4.0, 1.0], DType::F32),
        policy,
        reference: None,
        desirable: Vec::new(),
        targets: Vec::new(),
    };
    let normaliser = Normaliser {
        examples: 5,
        tokens: 16,
        ..Default::default()
    };
    let loss = Objective::Sft.loss(&branches, &normaliser, &Shared::default());
    assert_eq!(number(loss.value), 25.5 / 16.0);
}

/// A fixture's labelled completions, each with the mismatched one where `mismatched`.
struct Labelled {
    policy: Vec<f64>,
    reference: Vec<f64>,
    desirable: Vec<bool>,
}

impl Labelled {
    fn new(batch: &Value, mismatched: bool) -> Self {
        let interleaved = |name: &str| {
            let own = floats(&batch[name]);
            let other = floats(&batch[format!("{name}_mismatched")]);
            let both = own.into_iter().zip(other);
            both.flat_map(|(own, other)| {
                if mismatched {
                    vec![own, other]
                } else {
                    vec![own]
                }
            })
            .collect()
        };
        let labels = batch["desirable"].as_array().unwrap();
        Self {
            policy: interleaved("policy"),
            reference: interleaved("reference"),
            desirable: labels
                .iter()
                .map(|label| label.as_bool().unwrap())
                .collect(),
        }
    }

    /// The examples named by `order`.
    fn drawn(&self, order: &[usize]) -> Self {
        let branches = self.policy.len() / self.desirable.len();
        let places = || {
            order
                .iter()
                .flat_map(|&at| branches * at..branches * (at + 1))
        };
        Self {
            policy: places().map(|at| self.policy[at]).collect(),
            reference: places().map(|at| self.reference[at]).collect(),
            desirable: order.iter().map(|&at| self.desirable[at]).collect(),
        }
    }

    fn branches(&self) -> Branches<Ad> {
        Branches {
            policy: tensor(&self.policy, DType::F32).require_grad(),
            reference: Some(tensor(&self.reference, DType::F32)),
            lengths: tensor(&vec![1.0; self.policy.len()], DType::F32),
            desirable: self.desirable.clone(),
            targets: Vec::new(),
        }
    }

    fn normaliser(&self) -> Normaliser {
        Normaliser {
            examples: self.desirable.len(),
            tokens: 1,
            ..Default::default()
        }
    }
}

#[test]
fn losses_of_labelled_completions_are_their_papers_and_trls() {
    let fixture = load("unpaired.json");
    for case in cases(&fixture) {
        let what = name(case);
        let objective = objective(case, read_unpaired);
        let kto = objective.branches() == 2;
        let batch = &fixture["batches"][case["batch"].as_str().unwrap()];
        let labelled = Labelled::new(batch, kto);
        let branches = labelled.branches();
        let statistics = objective.statistics(&branches);
        let mut running = Running::default();
        let seen = floats(&batch["seen"]);
        running.update(&Statistics {
            examples: seen.len(),
            rewards: seen.iter().sum(),
            kl: 0.0,
        });
        running.update(&statistics);
        let shared = Shared::new(&statistics, &running);
        let found = if kto { shared.kl } else { shared.shift };
        near(found, case["shared"].as_f64().unwrap(), 1e-6, &what);

        let loss = objective.loss(&branches, &labelled.normaliser(), &shared);
        let (value, gradient) = value_and_gradient(&loss, &branches.policy);
        near(value, case["value"].as_f64().unwrap(), 1e-5, &what);
        let (own, other) =
            gradient
                .iter()
                .enumerate()
                .fold((vec![], vec![]), |mut sides, (at, &slope)| {
                    let side = if kto && at % 2 == 1 {
                        &mut sides.1
                    } else {
                        &mut sides.0
                    };
                    side.push(slope);
                    sides
                });
        all_near(&own, &floats(&case["gradient"]), 1e-5, &what);
        assert!(
            other.iter().all(|&slope| slope == 0.0),
            "{what}: the KL has a gradient"
        );
        if let Some(trl) = case["trl"].as_f64() {
            near(value, trl, 1e-5, &format!("{what}, TRL's"));
        }
        let mut totals = Totals::default();
        totals.add(loss);
        for (metric, expected) in case["metrics"].as_object().unwrap() {
            let expected = expected.as_f64().unwrap();
            near(
                totals.mean(metric).unwrap(),
                expected,
                1e-5,
                &format!("{what}: {metric}"),
            );
        }
        let alone = case["batch"] == "desirable alone";
        assert_eq!(totals.mean("rewards/rejected").is_none(), alone);
        assert_eq!(totals.mean("rewards/margins").is_none(), alone);
    }
}

#[test]
fn unpaired_losses_know_neither_order_nor_micro_batches() {
    let fixture = load("unpaired.json");
    for keys in [
        "loss_type = \"kto\"\nbeta = 0.3\ndesirable_weight = 1.3",
        "loss_type = \"bco\"",
    ] {
        let objective = objective(&serde_json::json!({ "keys": keys }), read_unpaired);
        let all = Labelled::new(&fixture["batches"]["random"], objective.branches() == 2);
        let step = |parts: &[&[usize]]| -> Totals {
            let parts: Vec<Labelled> = parts.iter().map(|part| all.drawn(part)).collect();
            let statistics = parts
                .iter()
                .map(|part| objective.statistics(&part.branches()))
                .sum();
            let mut running = Running::default();
            running.update(&statistics);
            let shared = Shared::new(&statistics, &running);
            let mut totals = Totals::default();
            for part in &parts {
                totals.add(objective.loss(&part.branches(), &all.normaliser(), &shared));
            }
            totals
        };
        let whole = step(&[&[0, 1, 2, 3, 4, 5, 6, 7, 8]]);
        for parts in [
            &[[8, 3, 0, 7, 5, 6, 1, 2, 4].as_slice()][..],
            &[&[4, 2, 8], &[0], &[1, 7, 6, 5, 3]],
        ] {
            let found = step(parts);
            near(found.loss, whole.loss, 1e-6, keys);
            for (metric, mean) in whole.means() {
                near(found.mean(metric).unwrap(), mean, 1e-6, metric);
            }
        }
        // What it should not be blind to.
        let swapped = Labelled {
            desirable: all.desirable.iter().map(|label| !label).collect(),
            ..all.drawn(&[0, 1, 2, 3, 4, 5, 6, 7, 8])
        };
        let shared = Shared {
            kl: 1.0,
            shift: 1.0,
        };
        let of = |labelled: &Labelled| {
            number(
                objective
                    .loss(&labelled.branches(), &all.normaliser(), &shared)
                    .value,
            )
        };
        assert!((of(&swapped) - of(&all)).abs() > 1e-2);
    }
}

#[test]
fn an_estimate_that_is_not_a_number_is_not_hidden() {
    let statistics = Statistics {
        examples: 2,
        kl: f64::NAN,
        rewards: 0.0,
    };
    assert!(Shared::new(&statistics, &Running::default()).kl.is_nan());
}

#[test]
fn dpo_from_its_reference_is_ln_2_and_its_running_state_survives_a_file() {
    let pairs = Pairs {
        policy: vec![-5.0, -7.0],
        reference: vec![-5.0, -7.0],
        lengths: vec![3.0, 3.0],
    };
    let value = pairs.value(&Objective::pairs(Sigmoid::new(0.1, 0.0)), DType::F32);
    near(value, std::f64::consts::LN_2, 1e-7, "ln 2");
    let mut running = Running::default();
    running.update(&Statistics {
        examples: 3,
        rewards: 4.5,
        kl: 0.0,
    });
    let text = serde_json::to_string(&running).unwrap();
    assert_eq!(serde_json::from_str::<Running>(&text).unwrap(), running);
    assert_eq!(running.mean(), 1.5);
}
