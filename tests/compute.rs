//! Recomputation and bf16: the same gradients, or nearly, from less memory.

use rapport::model::config::Family;
use rapport::objective::Running;
use rapport::train::gradients;

use crate::packing::{dataset, dialogues, objectives};
use crate::support::{Ad, config, flatten, model};

#[test]
fn recomputed_blocks_give_the_same_gradient() {
    let device = Default::default();
    for family in Family::ALL {
        let mut model = model::<Ad>(&config(family), 2, &device);
        for objective in objectives() {
            let set = dataset(dialogues(&objective), true);
            let batches = [set.batch(&[0, 2], &objective), set.batch(&[1], &objective)];
            let mut gradient = |recompute: bool| {
                model.compute.recompute = recompute;
                let (gradients, line) =
                    gradients(&model, &objective, &batches, &mut Running::default());
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
    use rapport::objective::Objective;
    use rapport::train::optimizer::{AdamW, AdamWConfig};

    let device = Default::default();
    let mut model = model::<Ad>(&config(Family::ALL[1]), 2, &device);
    let objective = Objective::Sft;
    let set = dataset(dialogues(&objective), true);
    let batches = [set.batch(&[0, 1, 2], &objective)];
    let (exact, _) = gradients(&model, &objective, &batches, &mut Running::default());
    let exact = flatten(&model, exact);
    model.compute.precision = Precision::Bf16;
    let (rounded, _) = gradients(&model, &objective, &batches, &mut Running::default());
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

    let (rounded, _) = gradients(&model, &objective, &batches, &mut Running::default());
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

/// What is sampled in bf16 is what a bf16 forward says, though its weights are rounded once and its cache is one.
#[cfg(any(feature = "flex", feature = "cuda"))]
#[test]
fn a_frozen_model_says_and_samples_what_training_computes() {
    use burn::module::AutodiffModule;
    use rapport::generate::{Request, Sampling, generate};
    use rapport::model::decoder::Precision;
    use rapport::objective::Objective;

    use rapport::model::forest::Forest;

    let device = Default::default();
    for family in Family::ALL {
        let mut model = model::<Ad>(&config(family), 2, &device);
        model.compute.precision = Precision::Bf16;
        let set = dataset(dialogues(&Objective::Sft), true);
        let batch = set.batch(&[0, 1, 2], &Objective::Sft);
        let logps = |model: &rapport::model::Decoder<crate::support::Inner>| {
            let logps = model.branch_logps(&batch.forest).into_data();
            logps.to_vec::<f32>().unwrap()
        };
        let frozen = model.valid().frozen(Precision::Bf16);
        assert_eq!(logps(&frozen), logps(&model.valid()), "{family:?}");
        let exact = logps(&model.valid().frozen(Precision::F32));
        assert_ne!(logps(&frozen), exact, "{family:?}");

        let request = Request {
            prompt: vec![5, 9, 14],
            stream: 0,
        };
        let sampling = Sampling {
            temperature: 0.0,
            max_new_tokens: 6,
            ..Sampling::default()
        };
        let requests = [request.clone()];
        let replies = generate(&frozen, &requests, &sampling, 0, 1, &device, |_| true).unwrap();
        let mut tokens = request.prompt;
        for &token in &replies[0].tokens {
            let hidden = frozen.forest_hidden(&Forest::path(&tokens));
            let hidden = hidden.narrow(1, tokens.len() - 1, 1).squeeze_dim::<2>(0);
            let mut logits = Vec::new();
            frozen.logits(hidden, &mut logits);
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!(
                most - logits[token as usize] < 0.05,
                "{family:?}: {tokens:?}"
            );
            tokens.push(token);
        }
    }
}
