//! A forest's log-probs and gradients equal those of each sequence run alone.

use std::fmt::Write as _;

use burn::module::AutodiffModule;
use rapport::data::rows::{labelled_rows, preference_rows, sft_rows};
use rapport::data::{Example, Reading, Tokenizer};
use rapport::model::config::{DecoderConfig, Family};
use rapport::model::forest::{Branch, Forest};
use rapport::model::weights;
use rapport::objective::{Bco, Kto, Objective, Running, Sigmoid, Sum, Unpaired};
use rapport::stage::artifact::measures::Measures;
use rapport::stage::settings::splits::Group;
use rapport::stage::work::tokens::dataset::{self, Encoding};
use rapport::train::mismatch::with_mismatches;
use rapport::train::{
    Dataset, Examples, ExamplesWriter, Sequence, TrainExample, branch_logps, gradients,
};

use crate::support::{Ad, Inner, config, flatten, model};

/// Three dialogues of three turns: each turn's prompt goes on from the last one's first reply.
pub fn dialogues(objective: &Objective) -> Vec<Vec<TrainExample>> {
    let branches = objective.branches();
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
                        // So low that KTO's estimate of the KL is not below 0.
                        reference: match objective.needs_reference() {
                            false => Vec::new(),
                            true => (0..branches).map(|b| -40.0 - b as f32).collect(),
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
    let mut examples: Examples = dialogues.into_iter().flatten().collect();
    // Read by losses of single completions alone.
    examples.set_desirable((0..at).map(|example| example % 3 != 1));
    Dataset {
        examples,
        units: units.into_iter().collect(),
        shuffle: false,
    }
}

pub fn objectives() -> [Objective; 4] {
    [
        Objective::Sft,
        Objective::pairs(Sigmoid::new(0.5, 0.1)),
        kto(),
        bco(),
    ]
}

pub const BETA: f64 = 0.1;

pub fn kto() -> Objective {
    Objective::Unpaired(Unpaired::Kto(Kto {
        beta: BETA,
        desirable_weight: Some(1.5),
        undesirable_weight: None,
    }))
}

pub fn bco() -> Objective {
    Objective::Unpaired(Unpaired::Bco(Bco { beta: BETA }))
}

#[test]
fn a_forest_of_dialogues_scores_like_each_sequence_alone() {
    let device = Default::default();
    for family in Family::ALL {
        let model = model::<Inner>(&config(family), 1, &device);
        for objective in objectives() {
            let [grouped, single] =
                [true, false].map(|grouped| dataset(dialogues(&objective), grouped));
            let all = branch_logps(&model, &grouped, &objective, 3, |_| true).unwrap();
            let alone = branch_logps(&model, &single, &objective, 1, |_| true).unwrap();
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
    for family in Family::ALL {
        let model = model::<Ad>(&config(family), 2, &device);
        for objective in objectives() {
            let gradient = |grouped: bool, size: usize| {
                let set = dataset(dialogues(&objective), grouped);
                let batches: Vec<_> = set
                    .micro_batches(0, 0, size)
                    .iter()
                    .map(|units| set.batch(units, &objective))
                    .collect();
                let (gradients, line) =
                    gradients(&model, &objective, &batches, &mut Running::default());
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

/// The same examples, of whose completions the second token and the third are not scored.
fn gapped(set: Dataset) -> Dataset {
    let mut writer = ExamplesWriter::memory();
    let mut reference = Vec::new();
    for example in 0..set.examples.len() {
        let gap = |branch: &Branch<'_>| [1, 3].map(|after| branch.scored_from as u32 + after);
        let branches: Vec<_> = set.examples.branches(example).collect();
        let gaps: Vec<[[u32; 2]; 1]> = branches.iter().map(|branch| [gap(branch)]).collect();
        let gapped = branches.into_iter().zip(&gaps);
        let gapped = gapped.map(|(branch, gap)| Branch {
            unscored: gap,
            ..branch
        });
        writer.push(gapped).unwrap();
        reference.extend_from_slice(set.examples.reference(example));
    }
    let mut examples = writer.finish().unwrap();
    if !reference.is_empty() {
        examples.set_reference(reference);
    }
    examples.set_desirable((0..set.examples.len()).map(|example| example % 3 != 1));
    Dataset { examples, ..set }
}

#[test]
fn tokens_between_scored_ones_are_read_and_neither_scored_nor_trained_on() {
    let device = Default::default();
    for family in Family::ALL {
        let model = model::<Ad>(&config(family), 2, &device);
        for objective in objectives() {
            let run = |grouped: bool, size: usize| {
                let set = gapped(dataset(dialogues(&objective), grouped));
                let batches: Vec<_> = set
                    .micro_batches(0, 0, size)
                    .iter()
                    .map(|units| set.batch(units, &objective))
                    .collect();
                let (gradients, _) =
                    gradients(&model, &objective, &batches, &mut Running::default());
                let logps = branch_logps(&model.valid(), &set, &objective, size, |_| true);
                (flatten(&model, gradients), logps.unwrap().concat(), set)
            };
            let (alone, _, set) = run(false, 1);
            let norm = alone.iter().map(|g| g * g).sum::<f32>().sqrt();
            assert!(norm > 1e-2, "a gradient to compare with");
            // Each sequence by itself, every token scored, and the wanted ones added up.
            let mut expected = Vec::new();
            for branch in (0..set.examples.len()).flat_map(|at| set.examples.branches(at)) {
                assert_eq!(
                    branch.scored(),
                    branch.tokens.len() - branch.scored_from - 2
                );
                let whole = Branch::new(branch.tokens, 1);
                let forest = Forest::pack(&[vec![whole]], 0);
                let logps = weights::host(model.valid().token_logps(&forest));
                expected.push(branch.places().map(|place| logps[place - 1]).sum::<f32>());
            }
            for (grouped, size) in [(true, 3), (true, 1), (false, 4)] {
                let (packed, logps, _) = run(grouped, size);
                for (a, b) in packed.iter().zip(&alone) {
                    assert!((a - b).abs() <= 1e-5 * norm.max(1.0), "{family:?}: {a} {b}");
                }
                assert_eq!(logps.len(), expected.len());
                for (a, b) in logps.iter().zip(&expected) {
                    let within = 1e-5 * b.abs().max(1.0);
                    assert!((a - b).abs() <= within, "{family:?}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn tails_beyond_the_shorter_completion_weigh_what_the_objective_says() {
    let device = Default::default();
    let model = model::<Inner>(&config(Family::Llama), 1, &device);
    let mut dialogues = dialogues(&objectives()[1]);
    for example in dialogues.iter_mut().flatten() {
        let scored_from = example.sequences[0].scored_from;
        example.sequences[1].tokens.truncate(scored_from + 2);
    }
    let set = dataset(dialogues, true);
    let objective = |ld_alpha| {
        let dpo = Sigmoid::new(0.5, 0.0).into();
        Objective::Pairs(Sum {
            terms: vec![(1.0, dpo)],
            ld_alpha,
        })
    };
    let logps = |alpha| {
        let logps = branch_logps(&model, &set, &objective(alpha), 2, |_| true).unwrap();
        logps.concat()
    };
    let (plain, one, half, none) = (
        logps(None),
        logps(Some(1.0)),
        logps(Some(0.5)),
        logps(Some(0.0)),
    );
    assert_eq!(plain, one);
    for (at, pair) in none.chunks(2).enumerate() {
        let (long, short) = (2 * at, 2 * at + 1);
        assert_eq!(
            pair[1], plain[short],
            "nothing is longer than the shorter one"
        );
        assert!(pair[0] > plain[long] + 0.1, "the longer one has a tail");
        let middle = (plain[long] + pair[0]) / 2.0;
        assert!(
            (half[long] - middle).abs() < 1e-4,
            "{} {middle}",
            half[long]
        );
    }
}

/// Rows as a user brings them: four dialogues of three turns, the turns of all dialogues mixed, and two
/// rows of no dialogue.
fn user_rows() -> String {
    let mut rows = String::new();
    let mut prompts: Vec<String> = (0..4)
        .map(|d| format!("I like {d}{d}, and my name is {d}.\nUser:"))
        .collect();
    for turn in 0..3 {
        for (dialogue, prompt) in prompts.iter_mut().enumerate() {
            write!(prompt, " what {turn}{dialogue}?\nBot:").unwrap();
            let (chosen, rejected) = (format!(" {dialogue} and {turn}."), format!(" not {turn}!"));
            let row = serde_json::json!({
                "prompt": prompt, "chosen": chosen, "rejected": rejected, "completion": chosen,
                "label": (turn + dialogue) % 2 == 0});
            writeln!(rows, "{row}").unwrap();
            write!(prompt, "{chosen}\nUser:").unwrap();
        }
        if turn > 0 {
            let row = serde_json::json!({
                "prompt": format!("No {turn}"), "chosen": " a", "rejected": " b", "completion": " a",
                "label": turn == 1});
            writeln!(rows, "{row}").unwrap();
        }
    }
    rows
}

#[test]
fn rows_brought_together_by_dialogue_give_the_gradient_of_each_alone_for_fewer_tokens() {
    let device = Default::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    std::fs::write(&path, user_rows()).unwrap();
    let tokenizer = Tokenizer::train_bpe(vec![user_rows()], 300).unwrap();
    let config = DecoderConfig {
        vocab_size: 300,
        max_positions: 256,
        ..config(Family::Llama)
    };
    let model = model::<Ad>(&config, 5, &device);
    for objective in objectives() {
        let reading = Reading::default();
        let rows = match objective {
            Objective::Sft => sft_rows(&path, &reading),
            Objective::Pairs(_) => preference_rows(&path, &reading),
            Objective::Unpaired(_) => labelled_rows(&path, &reading),
            Objective::Score(_) => unreachable!("not among the objectives of rows"),
        };
        let examples: Vec<Example> = rows.unwrap().collect::<Result<_, _>>().unwrap();
        let run = |group: Group, size: usize| {
            let encoding = Encoding {
                max_length: 256,
                min_prompt_kept: 0.5,
                group,
                shuffle: true,
            };
            let mut measures = Measures::default();
            let rows = examples.iter().cloned().map(Ok);
            let set = dataset::dataset(rows, &tokenizer, encoding, "", dir.path(), &mut measures);
            let mut set = set.unwrap();
            if objective == kto() {
                let writer = ExamplesWriter::memory();
                let (matched, cut) = with_mismatches(&set.examples, 4, 256, writer).unwrap();
                assert_eq!(cut, 0);
                set.examples = matched;
            }
            if objective.needs_reference() {
                let logps = (0..set.examples.len()).flat_map(|i| set.examples.branches(i));
                let logps = logps.map(|branch| -(branch.scored() as f32)).collect();
                set.examples.set_reference(logps);
            }
            let batches: Vec<_> = set
                .micro_batches(0, 7, size)
                .iter()
                .map(|units| set.batch(units, &objective))
                .collect();
            let computed: usize = batches.iter().map(|batch| batch.forest.computed).sum();
            let (gradients, line) =
                gradients(&model, &objective, &batches, &mut Running::default());
            let loss = line["loss"].as_f64().unwrap();
            (set.units.len(), computed, loss, flatten(&model, gradients))
        };
        let (units, computed, loss, gradient) = run(Group::None, 1);
        let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        assert!(units == 14 && norm > 1e-2, "{units} rows, gradient {norm}");
        for size in [1, 4, 6] {
            let (grouped_units, grouped_computed, grouped_loss, grouped) =
                run(Group::Dialogue, size);
            assert_eq!(grouped_units, 6, "four dialogues and two rows of none");
            assert!(
                2 * grouped_computed < computed,
                "{grouped_computed} {computed}"
            );
            assert!((grouped_loss - loss).abs() < 1e-5 * loss.abs().max(1.0));
            for (a, b) in grouped.iter().zip(&gradient) {
                assert!((a - b).abs() <= 1e-5 * norm.max(1.0), "{a} {b}");
            }
        }
    }
}
