//! One update against torch and TRL's trainers, by scripts/make_ppo_references.py.

use burn::optim::GradientsParams;
use rapport::model::{Decoder, hf, weights};
use rapport::train::ppo::advantages::ScaleRewards;
use rapport::train::ppo::kl::KlEstimator;
use rapport::train::ppo::rollout::Episode;
use rapport::train::ppo::settings::{Average, Grpo, Ppo, Rloo};
use rapport::train::ppo::targets::{ScoredEpisodes, targets};
use rapport::train::ppo::update::{Step, Update};
use rapport::train::ppo::{ActorCritic, Algorithm, PpoSettings, ValueHead};
use serde::Deserialize;
use serde_json::Value;

use crate::parity::fixtures;
use crate::support::{Ad, Inner};

#[derive(Deserialize)]
struct Expected {
    prompts: Vec<Vec<u32>>,
    replies: Vec<Vec<u32>>,
    finished: Vec<bool>,
    generations: usize,
    room: usize,
    head: Vec<f32>,
    bias: f32,
    scores: Vec<f64>,
    known: Tokens,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Tokens {
    logps: Vec<Vec<f64>>,
    reference: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Case {
    keys: Value,
    objective: Value,
    update: Value,
    grad_norm: f64,
    advantages: Vec<Vec<f64>>,
    returns: Vec<Vec<f64>>,
    norm_weight: Vec<f64>,
    head_weight: Vec<f64>,
}

fn read() -> Expected {
    let text = std::fs::read_to_string(fixtures().join("ppo.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn algorithm(keys: &Value) -> Algorithm {
    let number = |key: &str| keys[key].as_f64().unwrap();
    match keys["algorithm"].as_str().unwrap() {
        "ppo" => Algorithm::Ppo(Ppo {
            kl_coef: number("kl_coef"),
            kl_estimator: match keys["kl_estimator"].as_str() {
                Some("k3") => KlEstimator::K3,
                _ => KlEstimator::K1,
            },
            gamma: number("gamma"),
            lam: number("lam"),
            whiten_rewards: keys["whiten_rewards"] == true,
            vf_coef: number("vf_coef"),
            cliprange_value: number("cliprange_value"),
            ..super::ppo()
        }),
        "rloo" => Algorithm::Rloo(Rloo {
            beta: number("beta"),
            normalize_advantages: keys["normalize_advantages"] == true,
        }),
        _ => Algorithm::Grpo(Grpo {
            beta: number("beta"),
            scale_rewards: match keys["scale_rewards"].as_str() {
                Some("group") => ScaleRewards::Group,
                Some("batch") => ScaleRewards::Batch,
                _ => ScaleRewards::None,
            },
            loss_type: match keys["loss_type"].as_str() {
                Some("dapo") => Average::Tokens,
                Some("grpo") => Average::Replies,
                _ => Average::Room,
            },
        }),
    }
}

fn settings(expected: &Expected, keys: &Value) -> PpoSettings {
    let number = |key: &str| keys[key].as_f64().unwrap();
    let mut settings = super::settings(algorithm(keys));
    settings.num_generations = expected.generations;
    settings.cliprange = number("cliprange");
    settings.entropy_coef = number("entropy_coef");
    settings.sampling.temperature = number("temperature");
    settings.sampling.max_new_tokens = expected.room;
    settings
}

fn model(expected: &Expected, values: bool) -> ActorCritic<Ad> {
    let device = Default::default();
    let (config, checkpoint) = hf::open(&fixtures().join("trl_dpo/model")).unwrap();
    let policy: Decoder<Ad> =
        weights::load(&config, &device, |slot| checkpoint.read(slot)).unwrap();
    let head = ValueHead::zeros(None, config.hidden_size, &device);
    let arrays = [
        ("weight", vec![1, config.hidden_size], expected.head.clone()),
        ("bias", vec![1], vec![expected.bias]),
    ];
    let arrays = arrays.map(|(name, shape, values)| (name.to_owned(), (shape, values)));
    let head = weights::assign(head, arrays.into());
    ActorCritic {
        policy,
        value: values.then_some(head),
    }
}

/// All gradients by parameter name.
fn named(model: &ActorCritic<Ad>, gradients: &GradientsParams) -> Vec<(String, Vec<f32>)> {
    weights::parameters(model)
        .into_iter()
        .filter_map(|it| {
            let values = match it.shape.len() {
                1 => gradients.get::<Inner, 1>(it.id).map(weights::host),
                _ => gradients.get::<Inner, 2>(it.id).map(weights::host),
            };
            Some((it.name, values?))
        })
        .collect()
}

fn near(what: &str, found: f64, expected: f64) {
    let error = (found - expected).abs();
    assert!(
        error <= 2e-5 * expected.abs().max(1.0),
        "{what}: {found} for {expected}"
    );
}

fn all_near(what: &str, found: impl IntoIterator<Item = f64>, expected: &[f64]) {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        near(what, *found, *expected);
    }
}

fn by_name(update: &Update, name: &str) -> f64 {
    match name {
        "policy_loss" => update.policy_loss,
        "value_loss" => update.value_loss,
        "entropy" => update.entropy,
        "approxkl" => update.approxkl,
        "clipfrac" => update.clipfrac,
        "value_clipfrac" => update.value_clipfrac,
        "ratio" => update.ratio,
        other => panic!("no {other} in an update"),
    }
}

#[test]
fn updates_have_the_losses_metrics_and_gradients_of_torch_and_trl() {
    let expected = read();
    let episodes: Vec<Episode> = expected
        .replies
        .iter()
        .zip(&expected.finished)
        .enumerate()
        .map(|(index, (reply, &finished))| {
            let prompt = index / expected.generations;
            let asked = &expected.prompts[prompt];
            Episode {
                prompt,
                tokens: [asked.as_slice(), reply].concat(),
                scored_from: asked.len(),
                finished,
            }
        })
        .collect();
    // All replies at once, and in parts, in another order.
    let whole = vec![vec![0, 1, 2, 3]];
    let parts = vec![vec![2], vec![0], vec![3, 1]];
    for case in &expected.cases {
        let settings = settings(&expected, &case.keys);
        let algorithm = &settings.algorithm;
        let name = case.keys.to_string();
        let values = algorithm.has_values();
        let known = ScoredEpisodes {
            scores: expected.scores.clone(),
            logps: expected.known.logps.clone(),
            reference: expected.known.reference.clone(),
            values: if values {
                expected.known.values.clone()
            } else {
                Vec::new()
            },
        };
        let aims = targets(
            &known,
            settings.num_generations,
            algorithm,
            algorithm.kl_coef(),
        );
        all_near(
            &format!("{name}: advantages"),
            aims.advantages.concat(),
            &case.advantages.concat(),
        );
        all_near(
            &format!("{name}: returns"),
            aims.returns.concat(),
            &case.returns.concat(),
        );
        let found = serde_json::to_value(aims.objective).unwrap();
        for (key, value) in case.objective.as_object().unwrap() {
            near(
                &format!("{name}: objective/{key}"),
                found[key].as_f64().unwrap(),
                value.as_f64().unwrap(),
            );
        }

        let step = Step {
            settings: &settings,
            episodes: &episodes,
            known: &known,
            targets: &aims,
        };
        let model = model(&expected, values);
        for minibatch in [&whole, &parts] {
            let (gradients, update) = step.gradients(&model, minibatch);
            for (key, value) in case.update.as_object().unwrap() {
                let what = format!("{name}: {key}");
                near(&what, by_name(&update, key), value.as_f64().unwrap());
            }
            let named = named(&model, &gradients);
            let squares = named.iter().flat_map(|(_, values)| values);
            let norm = squares.map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            near(&format!("{name}: gradient"), norm, case.grad_norm);
            let of = |name: &str| {
                let found = named.iter().find(|(known, _)| known == name);
                found
                    .map_or(&[][..], |(_, values)| values)
                    .iter()
                    .map(|&g| f64::from(g))
            };
            all_near(&name, of("policy.norm.weight"), &case.norm_weight);
            all_near(&name, of("value.weight"), &case.head_weight);
        }
    }
}
