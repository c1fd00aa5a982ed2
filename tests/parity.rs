//! Our numbers against those of transformers, written by scripts/make_references.py and make_family_references.py.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::optim::GradientsParams;
use burn::tensor::backend::Backend;
use rapport::data::Tokenizer;
use rapport::generate::{Request, Sampling, generate};
use rapport::model::config::Family;
use rapport::model::forest::{Branch, Forest};
use rapport::model::hf;
use rapport::model::{Decoder, weights};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Ad, Inner, flatten};

#[derive(Deserialize)]
struct Expected {
    parameters: usize,
    cases: Vec<Case>,
    /// Of each stored tensor the square of its gradient's norm, and the gradient times the weights.
    gradients: Option<BTreeMap<String, [f64; 2]>>,
}

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    /// Of the last positions, at most three.
    logits: Vec<Vec<f32>>,
    /// Of each token but the first.
    logps: Vec<f32>,
    greedy: Vec<u32>,
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn models() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = std::fs::read_dir(fixtures().join("models"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    dirs.sort();
    for family in Family::ALL {
        let name = match family {
            Family::Gemma3 => "gemma3",
            _ => family.name(),
        };
        let has = dirs.iter().any(|dir| dir.ends_with(name));
        assert!(has, "{family:?} has a model");
    }
    dirs
}

fn open<B: Backend>(dir: &Path) -> (Decoder<B>, Expected) {
    let (config, checkpoint) = hf::open(dir).unwrap();
    let model = weights::load(&config, &Default::default(), |slot| checkpoint.read(slot)).unwrap();
    let expected = std::fs::read_to_string(dir.join("expected.json")).unwrap();
    (model, serde_json::from_str(&expected).unwrap())
}

fn logits(model: &Decoder<Inner>, ids: &[u32]) -> Vec<Vec<f32>> {
    let size = [ids.len(), model.config.hidden_size];
    let mut rows = Vec::new();
    model.logits(
        model.forest_hidden(&Forest::path(ids)).reshape(size),
        &mut rows,
    );
    rows.chunks(model.config.vocab_size)
        .map(<[f32]>::to_vec)
        .collect()
}

#[test]
fn logits_and_logps_are_those_of_transformers() {
    for dir in models() {
        let (model, expected) = open::<Inner>(&dir);
        assert_eq!(model.config.parameters(), expected.parameters, "{dir:?}");
        for case in &expected.cases {
            let ours = logits(&model, &case.ids);
            let last = &ours[ours.len() - case.logits.len()..];
            for (ours, theirs) in last.iter().flatten().zip(case.logits.iter().flatten()) {
                assert!((ours - theirs).abs() < 1e-4, "{dir:?}: {ours} {theirs}");
            }
            if case.ids.len() < 2 {
                continue;
            }
            let branch = Branch::new(&case.ids, 1);
            let forest = Forest::pack(&[vec![branch]], 0);
            let logps = model.token_logps(&forest).into_data();
            let logps = logps.into_vec::<f32>().unwrap();
            assert_eq!(logps.len(), case.logps.len());
            for (ours, theirs) in logps.iter().zip(&case.logps) {
                assert!((ours - theirs).abs() < 1e-4, "{dir:?}: {ours} {theirs}");
            }
        }
    }
}

#[test]
fn gradients_are_those_of_transformers() {
    let mut compared = 0;
    for dir in models() {
        let (model, expected) = open::<Ad>(&dir);
        let Some(stored) = expected.gradients else {
            continue;
        };
        let ids = &expected
            .cases
            .iter()
            .max_by_key(|case| case.ids.len())
            .unwrap()
            .ids;
        let forest = Forest::pack(&[vec![Branch::new(ids, 1)]], 0);
        let slots = hf::slots(&model.config);
        let gradients = model.token_logps(&forest).sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        let (gradient, weight) = (flatten(&model, gradients), weights::export(&model));
        let mut at = 0;
        // In the module's order, which need not be that of the slots.
        for parameter in weights::parameters(&model) {
            let values = &weight[&parameter.name].1;
            let gradient = &gradient[at..at + values.len()];
            at += values.len();
            let slot = slots
                .iter()
                .find(|slot| slot.name == parameter.name)
                .unwrap();
            let ours = gradient.iter().zip(values).fold([0.0; 2], |sums, (g, w)| {
                let [g, w] = [f64::from(*g), f64::from(*w)];
                [sums[0] + g * g, sums[1] + g * w]
            });
            let theirs = slot.parts.iter().fold([0.0; 2], |sums, part| {
                let name = part.hf_name.replace("embed_out", "lm_head");
                let [norm, product] = stored[&name];
                [sums[0] + norm, sums[1] + product]
            });
            let [ours_norm, norm] = [ours[0].sqrt(), theirs[0].sqrt()];
            let size = values.iter().map(|w| f64::from(w * w)).sum::<f64>().sqrt();
            assert!(
                (ours_norm - norm).abs() <= 1e-4 * norm.max(1e-2)
                    && (ours[1] - theirs[1]).abs() <= 1e-4 * (norm * size).max(1e-2),
                "{dir:?}: {}: {ours:?} {theirs:?}",
                slot.name
            );
            compared += 1;
        }
        assert_eq!(at, gradient.len());
    }
    assert!(compared > 200, "{compared} tensors");
}

#[test]
fn greedy_generations_are_those_of_transformers_in_any_batch() {
    for dir in models() {
        let (model, expected) = open::<Inner>(&dir);
        let requests: Vec<Request> = expected
            .cases
            .iter()
            .map(|case| Request {
                prompt: case.ids.clone(),
                stream: 0,
            })
            .collect();
        let sampling = Sampling {
            temperature: 0.0,
            max_new_tokens: expected.cases[0].greedy.len(),
            ..Sampling::default()
        };
        for batch in [1, 3, requests.len()] {
            let device = Default::default();
            let replies = generate(&model, &requests, &sampling, 0, batch, &device, |_| true);
            for (reply, case) in replies.unwrap().iter().zip(&expected.cases) {
                assert_eq!(reply.tokens, case.greedy, "{dir:?}, batches of {batch}");
            }
        }
    }
}

#[test]
fn a_saved_folder_reads_back_with_the_same_logits() {
    for dir in models() {
        let (model, expected) = open::<Inner>(&dir);
        let saved = tempfile::tempdir().unwrap();
        let mut arrays = weights::export(&model);
        // Shards of at most 40 kB, so that the index is written and read too.
        hf::save(
            saved.path(),
            &model.config,
            hf::Precision::F32,
            40_000,
            |slot| Ok(arrays.remove(&slot.name).unwrap().1),
        )
        .unwrap();
        let (config, checkpoint) = hf::open(saved.path()).unwrap();
        let again: Decoder<Inner> =
            weights::load(&config, &Default::default(), |slot| checkpoint.read(slot)).unwrap();
        let ids = &expected.cases[2].ids;
        assert_eq!(logits(&model, ids), logits(&again, ids), "{dir:?}");
        assert_eq!(model.config, again.config, "{dir:?}");
        // What was stored in f32 is stored again, value for value.
        if dir.join("model.safetensors").exists() {
            let whole = tempfile::tempdir().unwrap();
            let mut arrays = weights::export(&model);
            hf::save(
                whole.path(),
                &config,
                hf::Precision::F32,
                usize::MAX,
                |slot| Ok(arrays.remove(&slot.name).unwrap().1),
            )
            .unwrap();
            let [theirs, ours] = [&*dir, whole.path()]
                .map(|dir| hf::tensors::read(&dir.join("model.safetensors")).unwrap());
            assert!(theirs == ours, "{dir:?}");
        }
    }
}

/// Keys of transformers' configurations that change nothing that is computed.
const WITHOUT_EFFECT: [&str; 15] = [
    "_sliding_window_pattern",
    "attention_dropout",
    "classifier_dropout",
    "embd_pdrop",
    "hidden_dropout",
    "initializer_range",
    "is_decoder",
    "max_window_layers",
    "no_rope_layer_interval",
    // Of Phi-3 without longrope; with it, logits tell.
    "original_max_position_embeddings",
    "pretraining_tp",
    "resid_pdrop",
    "transformers_version",
    "use_bidirectional_attention",
    "use_cache",
];

/// Whether all that `theirs` says is said by `ours`, by the names that it has in both.
fn said(theirs: &Value, ours: &Value) -> bool {
    let tanh = |name: &Value| name == "gelu_new" || name == "gelu_pytorch_tanh";
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => theirs.iter().all(|(key, value)| {
            WITHOUT_EFFECT.contains(&key.as_str())
                || ours.get(key).is_some_and(|ours| said(value, ours))
        }),
        (Value::Number(theirs), Value::Number(ours)) => theirs.as_f64() == ours.as_f64(),
        (theirs, ours) => theirs == ours || (tanh(theirs) && tanh(ours)),
    }
}

#[test]
fn a_saved_configuration_says_what_that_of_transformers_says() {
    let (mut compared, mut missing) = (0, Vec::new());
    for dir in models() {
        let (config, _) = hf::open(&dir).unwrap();
        let expected = std::fs::read_to_string(dir.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_str(&expected).unwrap();
        if expected.gradients.is_none() {
            continue;
        }
        let ours = hf::config_json::to_json(&config, "float32");
        let theirs = std::fs::read_to_string(dir.join("config.json")).unwrap();
        let theirs: Value = serde_json::from_str(&theirs).unwrap();
        for (key, value) in theirs.as_object().unwrap() {
            let known = ours.get(key).is_some_and(|ours| said(value, ours));
            // Layers that all see everything need no list.
            let whole = |layers: &Vec<Value>| layers.iter().all(|it| it == "full_attention");
            let known = known || key == "layer_types" && value.as_array().is_some_and(whole);
            if !known && !WITHOUT_EFFECT.contains(&key.as_str()) {
                missing.push(format!("{dir:?}: {key}: {value} {:?}", ours.get(key)));
            }
        }
        compared += 1;
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(compared >= 15, "{compared} models");
}

#[test]
fn sampling_does_not_depend_on_the_batch() {
    let (model, expected) = open::<Inner>(&models()[0]);
    let requests: Vec<Request> = (0..24)
        .map(|i| Request {
            prompt: expected.cases[i % expected.cases.len()].ids.clone(),
            stream: i as u64,
        })
        .collect();
    let sampling = Sampling {
        max_new_tokens: 8,
        top_p: 0.95,
        stop: vec![5, 9],
        ..Sampling::default()
    };
    let draw = |requests: &[Request], batch| {
        generate(
            &model,
            requests,
            &sampling,
            7,
            batch,
            &Default::default(),
            |_| true,
        )
        .unwrap()
    };
    let together = draw(&requests, 24);
    let alone = draw(&requests, 1);
    assert_eq!(together, alone);
    assert_eq!(draw(&requests[10..14], 2), together[10..14]);
    let different: std::collections::HashSet<_> = together
        .iter()
        .step_by(4)
        .map(|r| r.tokens.clone())
        .collect();
    assert!(
        different.len() > 3,
        "equal prompts draw from different streams"
    );
}

#[test]
fn the_fixture_tokenizer_opens() {
    let tokenizer = Tokenizer::open(&fixtures().join("trl_dpo/model")).unwrap();
    assert_eq!(tokenizer.eos(), 0);
}
