//! Scoring models as folders and as functions of a text.

use std::path::Path;

use rapport::model::config::{Problem, ScoreHead};
use rapport::model::{Decoder, hf, weights};
use rapport::stage::work::scores::scorer::Scorer;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::{FAMILIES, example, expected, floats, json, near, scores, scoring_model, texts};
use crate::cli::{root, run};
use crate::support::{Inner, in_f32};

#[test]
fn scores_are_those_of_transformers_whatever_is_in_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let folder = scoring_model(dir.path(), family);
        let expected = expected(family);
        let texts = texts(&expected);
        let outputs: Vec<Vec<f64>> = expected["outputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(floats)
            .collect();
        assert!(
            texts.last().unwrap().ends_with("<|end|>"),
            "one ends in the padding token"
        );
        let check = |found: Vec<Vec<f64>>, outputs: &[Vec<f64>]| {
            assert_eq!(found.len(), outputs.len());
            for (found, expected) in found.iter().zip(outputs) {
                near(found, expected, 1e-5);
            }
        };
        // As completions of one prompt, as an example each, and each alone.
        check(scores(&folder, &[example("", &texts)]), &outputs);
        let each: Vec<_> = texts.chunks(1).map(|text| example("", text)).collect();
        check(scores(&folder, &each), &outputs);
        for (example, outputs) in each.chunks(1).zip(outputs.chunks(1)) {
            check(scores(&folder, example), outputs);
        }
        // In another order, with a text of which others are a part, and beside texts of other trees.
        let (mut back, mut outputs_back) = (each.clone(), outputs.clone());
        back.reverse();
        outputs_back.reverse();
        check(scores(&folder, &back), &outputs_back);
        let shared = example("i keep", &[" bees.".into(), " bees and cows.".into()]);
        let beside = scores(&folder, &[each[2].clone(), shared]);
        check(
            vec![beside[0].clone(), beside[1].clone()],
            &[outputs[2].clone(), outputs[1].clone()],
        );
    }
}

/// What `save` writes for a folder's model.
fn saved(from: &Path, to: &Path, head: Option<&ScoreHead>) {
    let (mut config, checkpoint) = hf::open(from).unwrap();
    let model: Decoder<Inner> =
        weights::load(&config, &Default::default(), |slot| checkpoint.read(slot)).unwrap();
    if let Some(head) = head {
        config = config.with_score(head.clone());
    }
    let mut arrays = weights::export(&model);
    hf::save(to, &config, hf::Precision::F32, usize::MAX, |slot| {
        Ok(arrays.remove(&slot.name).unwrap().1)
    })
    .unwrap();
}

/// transformers opens what it wrote itself: the same classes, labels, padding and tensors are a folder with the
/// same outputs.
#[test]
fn a_saved_folder_is_the_one_that_transformers_wrote() {
    let dir = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let theirs = scoring_model(dir.path(), family);
        let ours = dir.path().join(format!("{family}-saved"));
        saved(&theirs, &ours, None);
        let [a, b] = [&ours, &theirs].map(|dir| json(&dir.join("config.json")));
        for key in [
            "architectures",
            "id2label",
            "label2id",
            "problem_type",
            "pad_token_id",
        ] {
            assert!(
                !a[key].is_null() && (a[key] == b[key] || b[key].is_null()),
                "{family}: {key}"
            );
        }
        let [a, b] =
            [&ours, &theirs].map(|dir| std::fs::read(dir.join("model.safetensors")).unwrap());
        let [a, b] = [&a, &b].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
        let mut names: Vec<_> = a.names();
        assert!(names.contains(&"score.weight"), "{names:?}");
        let mut others: Vec<_> = b.names();
        names.sort();
        others.sort();
        assert_eq!(names, others, "{family}");
        for name in names {
            let [a, b] = [&a, &b].map(|all| all.tensor(name).unwrap());
            assert_eq!(
                (a.shape(), a.data()),
                (b.shape(), b.data()),
                "{family}: {name}"
            );
        }
    }
}

#[test]
fn labels_problem_centre_and_scale_survive_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = scoring_model(dir.path(), "llama");
    let texts = texts(&expected("llama"));
    let before = scores(&folder, &[example("", &texts)]);
    let head = ScoreHead {
        labels: ["b", "a", "c d"].map(String::from).to_vec(),
        problem: Problem::Regression,
        centre: vec![5.0, -1.5, 0.1],
        scale: vec![2.0, 0.3, 1.0],
    };
    saved(&folder, &folder, Some(&head));
    assert_eq!(hf::open(&folder).unwrap().0.score, Some(head.clone()));
    for (after, before) in scores(&folder, &[example("", &texts)]).iter().zip(&before) {
        let expected: Vec<f64> = (0..3)
            .map(|at| head.centre[at] + head.scale[at] * before[at])
            .collect();
        near(after, &expected, 1e-12);
    }
    let head = ScoreHead::plain(head.labels, Problem::SingleLabelClassification);
    saved(&folder, &folder, Some(&head));
    assert_eq!(hf::open(&folder).unwrap().0.score, Some(head));
    for (after, before) in scores(&folder, &[example("", &texts)]).iter().zip(&before) {
        let total: f64 = before.iter().map(|it| it.exp()).sum();
        let expected: Vec<f64> = before.iter().map(|it| it.exp() / total).collect();
        near(after, &expected, 1e-6);
    }
}

#[test]
fn folders_that_contradict_themselves_say_where() {
    let dir = tempfile::tempdir().unwrap();
    let folder = scoring_model(dir.path(), "llama");
    let path = folder.join("config.json");
    let config = json(&path);
    for (key, value, expected) in [
        (
            "id2label",
            json!({"0": "ease", "2": "trust"}),
            "id2label: expected a name for each id from 0 on",
        ),
        (
            "id2label",
            json!({"0": "ease", "1": "trust"}),
            "score.weight: shape [3, 32], expected [2, 32]",
        ),
        (
            "id2label",
            json!({"0": "ease", "1": "ease", "2": "trust"}),
            "labels that differ",
        ),
        (
            "problem_type",
            json!("multi_label_classification"),
            "problem_type: \"multi_label_classification\" is not",
        ),
        (
            "score_centre",
            json!([1.0, 2.0]),
            "score_centre: expected 3 numbers, one a label",
        ),
        ("score_scale", json!([1.0, 0.0, 1.0]), "scale"),
    ] {
        let mut wrong: Value = config.clone();
        wrong[key] = value;
        std::fs::write(&path, wrong.to_string()).unwrap();
        let error = Scorer::open(&folder, in_f32()).err().unwrap();
        let error = format!("{error:#}");
        assert!(
            error.contains(expected) && error.contains("llama"),
            "{expected:?} not in\n{error}"
        );
    }
}

/// Runs a recipe of one stage on a folder: `kind = KIND`.
fn opened(work: &Path, kind: &str, folder: &Path) -> (i32, String) {
    let recipe = work.join("one.toml");
    let text = format!(
        "title = \"One\"\nseeds = [1]\noutputs = [\"model\"]\n[stage.model]\nkind = {kind:?}\npath = {folder:?}\n"
    );
    std::fs::write(&recipe, text).unwrap();
    let (code, _, stderr) = run(work, &["run", recipe.to_str().unwrap()]);
    (code, stderr)
}

#[test]
fn a_pretrained_folder_is_taken_for_what_it_is_and_nothing_else() {
    let work = tempfile::tempdir().unwrap();
    let scoring = scoring_model(work.path(), "qwen2");
    let language = root().join("tests/fixtures/trl_dpo/model");
    let (code, stderr) = opened(work.path(), "pretrained", &scoring);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("qwen2: has a head that scores")
            && stderr.contains("pretrained-reward-model"),
        "{stderr}"
    );
    let (code, stderr) = opened(work.path(), "pretrained-reward-model", &language);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("a language model, where one with a scoring head"),
        "{stderr}"
    );
    let (code, stderr) = opened(work.path(), "pretrained-reward-model", &scoring);
    assert_eq!(code, 0, "{stderr}");
    let linked = work.path().join("runs/one/sandbox/model");
    let given = example("", &["i keep bees.".into()]);
    assert_eq!(
        scores(&linked, std::slice::from_ref(&given)),
        scores(&scoring, &[given])
    );
}
