//! A forest's log-probs and gradients equal those of each sequence run alone.

use rapport::model::config::Family;
use rapport::objective::{Objective, dpo::Dpo};
use rapport::train::{Dataset, Sequence, TrainExample, branch_logps, gradients};

use crate::support::{Ad, Inner, config, flatten, model};

pub const FAMILIES: [Family; 4] = [Family::Gpt2, Family::Llama, Family::Mistral, Family::Qwen2];

/// Three dialogues of three turns: each turn's prompt goes on from the last one's chosen reply.
pub fn dialogues(branches: usize) -> Vec<Vec<TrainExample>> {
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

pub fn dataset(dialogues: Vec<Vec<TrainExample>>, grouped: bool) -> Dataset {
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

pub fn objectives() -> [Objective; 2] {
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

#[test]
fn recomputed_blocks_give_the_same_gradient() {
    let device = Default::default();
    for family in FAMILIES {
        let mut model = model::<Ad>(&config(family), 2, &device);
        for objective in objectives() {
            let set = dataset(dialogues(objective.branches()), true);
            let batches = [set.batch(&[0, 2], &objective), set.batch(&[1], &objective)];
            let mut gradient = |recompute: bool| {
                model.compute.recompute = recompute;
                let (gradients, line) = gradients(&model, &objective, &batches, &device);
                (flatten(&model, gradients), line["loss"].as_f64().unwrap())
            };
            let (kept, loss_kept) = gradient(false);
            let (again, loss_again) = gradient(true);
            assert!((loss_kept - loss_again).abs() <= 1e-6 * loss_kept.abs().max(1.0));
            let norm = kept.iter().map(|g| g * g).sum::<f32>().sqrt();
            for (a, b) in again.iter().zip(&kept) {
                assert!((a - b).abs() <= 1e-6 * norm.max(1.0), "{family:?}: {a} {b}");
            }
        }
    }
}

/// Flex and CUDA compute in bf16; the others refuse.
#[cfg(any(feature = "flex", feature = "cuda"))]
#[test]
fn bf16_moves_weights_by_less_than_bf16_can_hold() {
    use half::bf16;
    use rapport::model::decoder::Precision;
    use rapport::train::optimizer::{AdamW, AdamWConfig};

    let device = Default::default();
    let mut model = model::<Ad>(&config(Family::Llama), 2, &device);
    let objective = Objective::Sft;
    let set = dataset(dialogues(1), true);
    let batches = [set.batch(&[0, 1, 2], &objective)];
    let (exact, _) = gradients(&model, &objective, &batches, &device);
    let exact = flatten(&model, exact);
    model.compute.precision = Precision::Bf16;
    let (rounded, _) = gradients(&model, &objective, &batches, &device);
    let before = model.embed.val().into_data().to_vec::<f32>().unwrap();
    let mut adamw = AdamW::<Ad>::new(AdamWConfig {
        adam_beta1: 0.9,
        adam_beta2: 0.999,
        adam_epsilon: 1e-8,
        weight_decay: 0.0,
        max_grad_norm: 1.0,
    });
    let (moved, _) = adamw.step(model.clone(), rounded, 1e-6);
    let after = moved.embed.val().into_data().to_vec::<f32>().unwrap();
    let small = |(a, b): (&f32, &f32)| a != b && bf16::from_f32(*a) == bf16::from_f32(*b);
    assert!(
        before
            .iter()
            .zip(&after)
            .filter(|&pair| small(pair))
            .count()
            > before.len() / 2
    );

    let (rounded, _) = gradients(&model, &objective, &batches, &device);
    let rounded = flatten(&model, rounded);
    let difference = |a: &[f32], b: &[f32]| -> f32 {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b) * (a - b))
            .sum::<f32>()
            .sqrt()
    };
    let (apart, norm) = (
        difference(&rounded, &exact),
        difference(&exact, &vec![0.0; exact.len()]),
    );
    assert!(apart > 1e-5 * norm, "computed in f32 after all");
    // torch's autocast is 4 to 5% off on models like this one.
    assert!(apart < 6e-2 * norm, "{apart} of {norm}");
}
