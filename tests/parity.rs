//! Our numbers against those of transformers and TRL, written by scripts/make_references.py.

use std::path::{Path, PathBuf};

use rapport::data::Tokenizer;
use rapport::generate::{Request, Sampling, generate};
use rapport::model::forest::{Branch, Forest};
use rapport::model::hf;
use rapport::model::{Decoder, weights};
use serde::Deserialize;

use crate::support::{Inner, path};

#[derive(Deserialize)]
struct Expected {
    parameters: usize,
    cases: Vec<Case>,
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
    assert!(dirs.len() >= 6, "all four families and the variants");
    dirs
}

fn open(dir: &Path) -> (Decoder<Inner>, Expected) {
    let (config, checkpoint) = hf::open(dir).unwrap();
    let model = weights::load(&config, &Default::default(), |slot| checkpoint.read(slot)).unwrap();
    let expected = std::fs::read_to_string(dir.join("expected.json")).unwrap();
    (model, serde_json::from_str(&expected).unwrap())
}

fn logits(model: &Decoder<Inner>, ids: &[u32]) -> Vec<Vec<f32>> {
    let length = ids.len();
    let rows = model
        .forest_hidden(&path(ids))
        .reshape([length, model.config.hidden_size])
        .matmul(model.head().transpose())
        .into_data()
        .into_vec::<f32>()
        .unwrap();
    rows.chunks(model.config.vocab_size)
        .map(<[f32]>::to_vec)
        .collect()
}

#[test]
fn logits_and_logps_are_those_of_transformers() {
    for dir in models() {
        let (model, expected) = open(&dir);
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
fn greedy_generations_are_those_of_transformers_in_any_batch() {
    for dir in models() {
        let (model, expected) = open(&dir);
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
        let (model, expected) = open(&dir);
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
    }
}

#[test]
fn sampling_does_not_depend_on_the_batch() {
    let (model, expected) = open(&models()[0]);
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
