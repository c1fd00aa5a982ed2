//! A stopped run goes on exactly where it was.

use std::path::Path;

use rapport::model::config::Family;
use rapport::model::weights;
use rapport::objective::Objective;
use rapport::store::{Stop, read_metrics};
use rapport::train::optimizer::AdamWConfig;
use rapport::train::schedule::Schedule;
use rapport::train::{Dataset, Job, Keep, Sequence, TrainExample, TrainSettings, train};

use crate::support::{Ad, config, model};

fn settings() -> TrainSettings {
    TrainSettings {
        learning_rate: 1e-2,
        lr_scheduler_type: Schedule::Cosine,
        warmup_ratio: 0.2,
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        num_train_epochs: 4,
        max_steps: 0,
        optimizer: AdamWConfig {
            adam_beta1: 0.9,
            adam_beta2: 0.99,
            adam_epsilon: 1e-8,
            weight_decay: 0.1,
            max_grad_norm: 1.0,
        },
        save_steps: 5,
        eval_steps: 2,
        keep: Keep::LowestLoss,
    }
}

fn dataset(examples: u32) -> Dataset {
    Dataset {
        examples: (0..examples)
            .map(|i| TrainExample {
                sequences: vec![Sequence {
                    tokens: (0..9).map(|j| (i * 7 + j * j) % 50).collect(),
                    scored_from: 3,
                }],
                reference: Vec::new(),
            })
            .collect(),
        units: (0..examples as usize).map(|i| vec![i]).collect(),
        shuffle: true,
    }
}

/// Trains in `dir`; stops once `stop_after` lines of metrics are there.
fn run(dir: &Path, stop_after: Option<usize>) -> Option<Vec<f32>> {
    let device = Default::default();
    let model = model::<Ad>(&config(Family::Qwen2), 3, &device);
    let (set, valid) = (dataset(11), dataset(4));
    let stop = Stop::new();
    let settings = settings();
    let watcher = stop_after.map(|lines| {
        let (stop, path) = (stop.clone(), dir.join("metrics.jsonl"));
        std::thread::spawn(move || {
            for _ in 0..20_000 {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                if text.lines().count() >= lines {
                    stop.request();
                    return;
                }
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        })
    });
    let job = Job {
        label: "resume",
        settings: &settings,
        objective: Objective::Sft,
        train: &set,
        valid: Some(&valid),
        dir,
        seed: 5,
        stop: &stop,
    };
    let outcome = train(model, &job, &device);
    if let Some(watcher) = watcher {
        watcher.join().unwrap();
    }
    let outcome = outcome.ok()?;
    Some(
        weights::export(&outcome.model)
            .into_values()
            .flat_map(|(_, v)| v)
            .collect(),
    )
}

/// Loss and learning rate of each step: everything in a line that is not a speed.
fn losses(dir: &Path) -> Vec<(f64, f64, f64)> {
    read_metrics(&dir.join("metrics.jsonl"))
        .unwrap()
        .iter()
        .map(|line| {
            let value = |key: &str| line[key].as_f64().unwrap();
            (value("step"), value("loss"), value("learning_rate"))
        })
        .collect()
}

#[test]
fn a_run_stopped_again_and_again_ends_like_one_that_never_stopped() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(whole.path(), None).unwrap();
    let steps = losses(whole.path());
    assert_eq!(steps.len(), 12, "11 examples, batches of 2 x 2, 4 epochs");
    let mut stops = 0;
    let mut found = None;
    for after in [1, 4, 5, 9, 100, 100] {
        found = run(parts.path(), (after < 100).then_some(after));
        stops += usize::from(found.is_none());
        if found.is_some() {
            break;
        }
    }
    assert!(stops >= 1, "the run was stopped at least once");
    assert_eq!(found.unwrap(), expected);
    assert_eq!(losses(parts.path()), steps);
}

#[test]
fn a_killed_run_goes_on_from_the_last_saved_step() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(whole.path(), None).unwrap();
    // A kill leaves the checkpoint of step 10 (save_steps 5 of 12), later lines of metrics, and a torn
    // last line: the state after a run whose end is then taken away.
    run(killed.path(), None).unwrap();
    let metrics = killed.path().join("metrics.jsonl");
    let mut text = std::fs::read_to_string(&metrics).unwrap();
    text.truncate(text.len() - 20);
    std::fs::write(&metrics, text).unwrap();
    assert!(killed.path().join("checkpoint/state.json").exists());
    assert_eq!(run(killed.path(), None).unwrap(), expected);
    assert_eq!(losses(killed.path()), losses(whole.path()));
}
