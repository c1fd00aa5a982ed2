//! A stopped run goes on exactly where it was.

use std::path::Path;

use rapport::model::config::{Family, Problem, ScoreHead};
use rapport::model::lora::LoraConfig;
use rapport::model::weights;
use rapport::objective::{Bco, Objective, Score, Unpaired};
use rapport::store::{Stop, read_metrics};
use rapport::train::optimizer::AdamWConfig;
use rapport::train::schedule::Schedule;
use rapport::train::{
    Dataset, Examples, Job, Keep, Sequence, TrainExample, TrainSettings, Watching, train,
};

use crate::support::{Ad, config, model};

fn settings(objective: &Objective) -> TrainSettings {
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
        keep: match objective {
            Objective::Sft => Keep::BestTrainLoss,
            _ => Keep::BestLoss,
        },
        watch: Watching::default(),
    }
}

/// What is trained, and whether that is adapters, which drop some of their inputs.
type Case = (Objective, bool);

/// What keeps nothing from step to step, what keeps the mean of its rewards, and what trains a scoring head.
fn cases() -> [Case; 4] {
    let bco = Unpaired::Bco(Bco { beta: 0.1 });
    let ratings = Score::Regression {
        weights: vec![1.0, 2.0],
    };
    [
        (Objective::Sft, false),
        (Objective::Sft, true),
        (Objective::Unpaired(bco), false),
        (Objective::Score(ratings), false),
    ]
}

/// Labelled completions with a reference, of which an SFT reads neither, or ratings of which some are missing.
fn dataset(count: u32, objective: &Objective) -> Dataset {
    let scored = matches!(objective, Objective::Score(_));
    let mut examples: Examples = (0..count)
        .map(|i| TrainExample {
            sequences: vec![Sequence {
                tokens: (0..9).map(|j| (i * 7 + j * j) % 50).collect(),
                scored_from: if scored { 8 } else { 3 },
            }],
            reference: vec![-35.0 - i as f32],
        })
        .collect();
    examples.set_desirable((0..count).map(|i| i % 2 == 0));
    if scored {
        let rating = |i: u32| match i % 5 {
            3 => f32::NAN,
            other => other as f32 - 1.5,
        };
        examples.set_targets((0..2 * count).map(rating).collect());
    }
    Dataset {
        examples,
        units: (0..count as usize).map(|i| vec![i]).collect(),
        shuffle: true,
    }
}

/// Trains in `dir` to the end, or, once a stop is asked for, for one step more.
fn run(dir: &Path, (objective, adapters): &Case, stop: bool) -> Option<Vec<f32>> {
    let device = Default::default();
    let mut model = model::<Ad>(&config(Family::Qwen2), 3, &device);
    if let Objective::Score(_) = objective {
        let labels = ["ease", "trust"].map(String::from).to_vec();
        model = model.with_score(ScoreHead::plain(labels, Problem::Regression));
    }
    if *adapters {
        let lora = LoraConfig {
            r: 3,
            lora_alpha: 6.0,
            lora_dropout: 0.3,
            ..LoraConfig::all_linear()
        };
        model = model.with_adapters(&lora, LoraConfig::begin(9)).unwrap();
    }
    let asked = Stop::new();
    if stop {
        asked.request();
    }
    let outcome = train(
        model,
        &Job {
            label: "resume",
            settings: &settings(objective),
            objective,
            train: &dataset(11, objective),
            valid: Some(&dataset(4, objective)),
            dir,
            seed: 5,
            stop: &asked,
        },
        &device,
    );
    let weights = weights::export(&outcome.ok()?.model).into_values();
    Some(weights.flat_map(|(_, values)| values).collect())
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
    for case in cases() {
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = run(whole.path(), &case, false).unwrap();
        let steps = losses(whole.path());
        assert_eq!(steps.len(), 12, "11 examples, batches of 2 x 2, 4 epochs");
        for step in 1..=7 {
            let stopped = run(parts.path(), &case, true);
            assert!(stopped.is_none(), "stopped after one step");
            assert_eq!(losses(parts.path()).len(), step);
        }
        assert_eq!(run(parts.path(), &case, false).unwrap(), expected);
        assert_eq!(losses(parts.path()), steps, "{case:?}");
    }
}

#[test]
fn a_killed_run_goes_on_from_the_last_saved_step() {
    for case in cases() {
        let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = run(whole.path(), &case, false).unwrap();
        // A kill leaves the checkpoint of step 10 (save_steps 5 of 12), later lines of metrics, and a
        // torn last line: the state after a run whose end is then taken away.
        run(killed.path(), &case, false).unwrap();
        let metrics = killed.path().join("metrics.jsonl");
        let mut text = std::fs::read_to_string(&metrics).unwrap();
        text.truncate(text.len() - 20);
        std::fs::write(&metrics, text).unwrap();
        assert!(killed.path().join("checkpoint/state.json").exists());
        let saved = std::fs::read(killed.path().join("checkpoint/model.safetensors")).unwrap();
        let saved = safetensors::SafeTensors::deserialize(&saved).unwrap();
        assert!(!saved.is_empty());
        let (_, adapters) = case;
        for name in saved.names() {
            assert!(!adapters || name.contains(".adapters."), "{name}");
        }
        assert_eq!(run(killed.path(), &case, false).unwrap(), expected);
        assert_eq!(losses(killed.path()), losses(whole.path()));
    }
}

#[test]
fn a_damaged_saved_step_is_set_aside_and_the_run_begins_anew() {
    let case = (Objective::Unpaired(Unpaired::Bco(Bco { beta: 0.1 })), false);
    let work = tempfile::tempdir().unwrap();
    let expected = run(work.path(), &case, false).unwrap();
    let steps = losses(work.path());
    let best = std::fs::read_dir(work.path()).unwrap().find_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.starts_with("best-").then_some(name)
    });
    // As many steps as were saved: what follows them may be torn.
    let damaged = [
        "checkpoint/model.safetensors",
        "checkpoint/optimizer.safetensors",
        "checkpoint/state.json",
        "metrics.jsonl",
        &best.unwrap(),
    ];
    for name in damaged {
        let path = work.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for damage in 0..3 {
            let mut bytes = whole.clone();
            match damage {
                0 => bytes[whole.len() / 3] ^= 4,
                1 => bytes.truncate(whole.len() / 3),
                _ => {}
            }
            match damage {
                2 => std::fs::remove_file(&path).unwrap(),
                _ => std::fs::write(&path, bytes).unwrap(),
            }
            assert_eq!(
                run(work.path(), &case, false).unwrap(),
                expected,
                "{name} {damage}"
            );
            assert_eq!(losses(work.path()), steps, "{name} {damage}");
            let aside = work.path().join("checkpoint.damaged");
            // Best weights that came after the saved step are made again anyway.
            assert!(
                aside.exists() || name.starts_with("best-"),
                "{name} {damage}"
            );
            let _ = std::fs::remove_dir_all(aside);
        }
    }
}

/// Trains with patience, killed and gone on with after each step where `torn`; the steps taken and those kept.
fn impatient(dir: &Path, torn: bool) -> (usize, usize, Vec<f32>) {
    let device = Default::default();
    let settings = TrainSettings {
        // Nothing is learned in small steps, and much is broken in large ones.
        learning_rate: 0.3,
        eval_steps: 1,
        watch: Watching {
            early_stopping_patience: 3,
            ..Watching::default()
        },
        ..settings(&Objective::Unpaired(Unpaired::Bco(Bco { beta: 0.1 })))
    };
    loop {
        let asked = Stop::new();
        if torn {
            asked.request();
        }
        let outcome = train(
            model::<Ad>(&config(Family::Qwen2), 3, &device),
            &Job {
                label: "impatient",
                settings: &settings,
                objective: &Objective::Sft,
                train: &dataset(11, &Objective::Sft),
                valid: Some(&dataset(4, &Objective::Sft)),
                dir,
                seed: 5,
                stop: &asked,
            },
            &device,
        );
        if let Ok(outcome) = outcome {
            assert_eq!(outcome.planned, 12);
            let weights = weights::export(&outcome.model).into_values();
            let weights = weights.flat_map(|(_, values)| values).collect();
            return (outcome.steps, outcome.kept_step, weights);
        }
    }
}

#[test]
fn patience_is_counted_over_kills_as_in_one_run() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = impatient(whole.path(), false);
    assert!(expected.0 < 12, "stopped after {} steps", expected.0);
    assert_eq!(
        expected.0,
        expected.1 + 3,
        "three looks without improvement"
    );
    assert_eq!(impatient(parts.path(), true), expected);
    assert_eq!(losses(parts.path()), losses(whole.path()));
}
