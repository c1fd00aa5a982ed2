//! A forest's log-probs and gradients equal those of each sequence run alone.

use burn::module::Module;
use rapport::model::config::Family;
use rapport::objective::{Objective, dpo::Dpo};
use rapport::train::{Dataset, Sequence, TrainExample, branch_logps, gradients};

use crate::support::{Ad, Inner, config, model};

const FAMILIES: [Family; 4] = [Family::Gpt2, Family::Llama, Family::Mistral, Family::Qwen2];

/// Three dialogues of three turns: each turn's prompt goes on from the last one's chosen reply.
fn dialogues(branches: usize) -> Vec<Vec<TrainExample>> {
    (0..3u32)
        .map(|dialogue| {
            let mut prompt: Vec<u32> = (0..4).map(|i| (dialogue * 7 + i * 5) % 50).collect();
            (0..3u32)
                .map(|turn| {
                    let scored_from = prompt.len();
                    let sequences = (0..branches as u32)
                        .map(|branch| {
                            let mut tokens = prompt.clone();
                            tokens.extend((0..3 + turn).map(|i| {
                                (i * 11 + turn * 3 + dialogue + branch * (i + 1)) % 49 + 1
                            }));
                            tokens.push(0);
                            Sequence {
                                tokens,
                                scored_from,
                            }
                        })
                        .collect::<Vec<_>>();
                    let chosen = &sequences[0].tokens;
                    prompt = chosen[..chosen.len() - 1].to_vec();
                    prompt.extend([turn + 1, 40 + turn]);
                    TrainExample {
                        reference: match branches {
                            1 => Vec::new(),
                            _ => (0..branches).map(|b| -10.0 - b as f32).collect(),
                        },
                        sequences,
                    }
                })
                .collect()
        })
        .collect()
}

fn dataset(dialogues: Vec<Vec<TrainExample>>, grouped: bool) -> Dataset {
    let mut at = 0;
    let mut units = Vec::new();
    for dialogue in &dialogues {
        let indices: Vec<usize> = (at..at + dialogue.len()).collect();
        at += dialogue.len();
        if grouped {
            units.push(indices);
        } else {
            units.extend(indices.into_iter().map(|i| vec![i]));
        }
    }
    Dataset {
        examples: dialogues.into_iter().flatten().collect(),
        units,
        shuffle: false,
    }
}

fn objectives() -> [Objective; 2] {
    let dpo = Dpo {
        beta: 0.5,
        label_smoothing: 0.1,
    };
    [Objective::Sft, Objective::Dpo(dpo)]
}

#[test]
fn a_forest_of_dialogues_scores_like_each_sequence_alone() {
    let device = Default::default();
    for family in FAMILIES {
        let model = model::<Inner>(&config(family), 1, &device);
        for objective in objectives() {
            let [grouped, single] =
                [true, false].map(|grouped| dataset(dialogues(objective.branches()), grouped));
            let all = branch_logps(&model, &grouped, &objective, 3, &device, |_| true).unwrap();
            let alone = branch_logps(&model, &single, &objective, 1, &device, |_| true).unwrap();
            let all: Vec<f32> = all.into_iter().flatten().collect();
            let alone: Vec<f32> = alone.into_iter().flatten().collect();
            assert_eq!(all.len(), 9 * objective.branches());
            for (a, b) in all.iter().zip(&alone) {
                assert!(
                    (a - b).abs() <= 1e-5 * b.abs().max(1.0),
                    "{family:?}: {a} {b}"
                );
            }
        }
    }
}

#[test]
fn a_forest_and_accumulation_give_the_gradient_of_each_sequence_alone() {
    let device = Default::default();
    for family in FAMILIES {
        let model = model::<Ad>(&config(family), 2, &device);
        for objective in objectives() {
            let gradient = |grouped: bool, size: usize| {
                let set = dataset(dialogues(objective.branches()), grouped);
                let batches: Vec<_> = set
                    .micro_batches(0, 0, size)
                    .iter()
                    .map(|units| set.batch(units, &objective))
                    .collect();
                let (gradients, line) = gradients(&model, &objective, &batches, &device);
                (flatten(&model, gradients), line["loss"].as_f64().unwrap())
            };
            let (alone, loss_alone) = gradient(false, 1);
            for (grouped, size) in [(true, 3), (true, 1), (false, 9), (false, 4)] {
                let (packed, loss) = gradient(grouped, size);
                assert!((loss - loss_alone).abs() < 1e-5 * loss_alone.abs().max(1.0));
                let norm = alone.iter().map(|g| g * g).sum::<f32>().sqrt();
                assert!(norm > 1e-2, "a gradient to compare with");
                for (a, b) in packed.iter().zip(&alone) {
                    assert!((a - b).abs() <= 1e-5 * norm.max(1.0), "{family:?}: {a} {b}");
                }
            }
        }
    }
}

fn flatten(
    model: &rapport::model::Decoder<Ad>,
    gradients: burn::optim::GradientsParams,
) -> Vec<f32> {
    struct Flat(burn::optim::GradientsParams, Vec<f32>);
    impl burn::module::ModuleVisitor<Ad> for Flat {
        fn visit_float<const D: usize>(
            &mut self,
            param: &burn::module::Param<burn::tensor::Tensor<Ad, D>>,
        ) {
            let gradient = self
                .0
                .get::<Inner, D>(param.id)
                .expect("every weight is used");
            self.1.extend(gradient.into_data().iter::<f32>());
        }
    }
    let mut flat = Flat(gradients, Vec::new());
    model.visit(&mut flat);
    flat.1
}
