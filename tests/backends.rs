//! The same small training run on every backend of the build. `.ci/run` builds this with flex, ndarray
//! and wgpu (software Vulkan).

use rapport::backend::{BACKENDS, Work, dispatch};
use rapport::model::config::Family;
use rapport::objective::{Kto, Objective, Sigmoid, Unpaired};
use rapport::ops::TrainBackend;
use rapport::store::{Stop, read_metrics};
use rapport::train::optimizer::AdamWConfig;
use rapport::train::schedule::Schedule;
use rapport::train::{
    Dataset, Examples, Job, Keep, Sequence, TrainExample, TrainSettings, Watching, train,
};

use crate::support::{config, model};

struct Run(Objective);

impl Work for Run {
    type Output = Vec<f64>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Vec<f64> {
        let Run(objective) = self;
        let dir = tempfile::tempdir().unwrap();
        let branches = objective.branches() as u32;
        let examples = (0..6u32).map(|i| TrainExample {
            sequences: (0..branches)
                .map(|branch| Sequence {
                    tokens: (0..10)
                        .map(|j| {
                            if j < 5 {
                                i + j
                            } else {
                                (i * 3 + j * (2 + branch)) % 50
                            }
                        })
                        .collect(),
                    scored_from: 5,
                })
                .collect(),
            reference: if branches == 2 {
                vec![-40.0, -42.0]
            } else {
                Vec::new()
            },
        });
        let mut examples: Examples = examples.collect();
        // Read by KTO alone.
        examples.set_desirable((0..6).map(|i| i % 2 == 0));
        let set = Dataset {
            examples,
            units: (0..6).map(|i| vec![i]).collect(),
            shuffle: true,
        };
        let job = Job {
            label: "backends",
            settings: &TrainSettings {
                learning_rate: 1e-3,
                lr_scheduler_type: Schedule::Linear,
                warmup_ratio: 0.1,
                per_device_train_batch_size: 3,
                gradient_accumulation_steps: 1,
                num_train_epochs: 3,
                max_steps: 0,
                optimizer: AdamWConfig {
                    adam_beta1: 0.9,
                    adam_beta2: 0.999,
                    adam_epsilon: 1e-8,
                    weight_decay: 0.1,
                    max_grad_norm: 1.0,
                },
                save_steps: 0,
                eval_steps: 0,
                keep: Keep::Last,
                watch: Watching::default(),
            },
            objective: &objective,
            train: &set,
            valid: None,
            dir: dir.path(),
            seed: 1,
            stop: &Stop::new(),
        };
        let model = model::<B>(&config(Family::Llama), 4, device);
        train(model, &job, device).unwrap();
        let lines = read_metrics(&dir.path().join("metrics.jsonl")).unwrap();
        lines
            .iter()
            .map(|line| line["loss"].as_f64().unwrap())
            .collect()
    }
}

fn losses(backend: &str, objective: Objective) -> Vec<f64> {
    dispatch(backend, Run(objective)).unwrap()
}

#[test]
fn every_backend_of_this_build_trains_to_the_same_losses() {
    let built: Vec<&str> = BACKENDS
        .iter()
        .filter(|(name, built)| *built && *name != "cuda")
        .map(|(name, _)| *name)
        .collect();
    let dpo = Objective::pairs(Sigmoid::new(0.3, 0.0));
    let kto = Objective::Unpaired(Unpaired::Kto(Kto {
        beta: 0.3,
        desirable_weight: None,
        undesirable_weight: None,
    }));
    for objective in [Objective::Sft, dpo, kto] {
        let first = losses(built[0], objective.clone());
        assert_eq!(first.len(), 6);
        assert!(
            (first[0] - first[5]).abs() > 1e-2,
            "the run learns: {first:?}"
        );
        for other in &built[1..] {
            for (a, b) in first.iter().zip(losses(other, objective.clone())) {
                assert!((a - b).abs() < 1e-3, "{other}: {b}, {}: {a}", built[0]);
            }
        }
    }
}
