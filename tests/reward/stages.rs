//! Reward models as stages: used to label and to measure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rapport::data::{Example, Role, Said};
use rapport::stage::artifact::measures::Measures;
use rapport::store::read_jsonl;
use rapport::world::impression::judge_reply;
use serde_json::Value;

use super::{json, near, scores};
use crate::cli::{root, run};

/// Runs the tiny recipe up to these outputs, with settings laid over it.
pub fn with(work: &Path, outputs: &str, sets: &[&str]) -> (i32, String) {
    let (recipe, outputs) = (
        root().join(RECIPE).display().to_string(),
        format!("outputs={outputs}"),
    );
    let mut arguments = vec!["run", &*recipe, "--set", &*outputs];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let (code, _, stderr) = run(work, &arguments);
    (code, stderr)
}

pub const RECIPE: &str = "tests/recipes/reward.toml";

/// The finished artifacts of a kind.
pub fn artifacts(work: &Path, kind: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(work.join("runs/.artifacts")).unwrap();
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(&format!("{kind}-")) && !name.ends_with(".partial")
    };
    all.map(|entry| entry.unwrap().path())
        .filter(named)
        .collect()
}

/// The only artifact of a kind that a stage of that name made.
pub fn artifact(work: &Path, kind: &str, stage: &str) -> PathBuf {
    let mut found = artifacts(work, kind);
    found.retain(|path| json(&path.join("artifact.json"))["name"] == stage);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn labelled_pairs_add_up_and_are_apart() {
    let work = tempfile::tempdir().unwrap();
    let (code, stderr) = with(work.path(), "[\"feedback\"]", &[]);
    assert_eq!(code, 0, "{stderr}");
    let (pairs, reward) = (
        artifact(work.path(), "ai-feedback", "feedback"),
        artifact(work.path(), "reward-model", "all"),
    );
    let labels: Vec<String> = {
        let map = json(&reward.join("model/config.json"))["id2label"].take();
        (0..12)
            .map(|at| map[at.to_string()].as_str().unwrap().to_owned())
            .collect()
    };
    let place = |name: &str| labels.iter().position(|it| it == name).unwrap();
    let measures = Measures::read(&pairs).unwrap();
    for (split, prompts) in [("train", 16.0), ("valid", 4.0)] {
        let number = |what: &str| measures.numbers[&format!("{split}_{what}")];
        let kept: f64 = ["pairs", "alike", "ties", "close"].map(number).iter().sum();
        assert_eq!(kept, prompts, "{split}");
        let examples: Vec<Example> = read_jsonl(&pairs.join(format!("{split}.jsonl"))).unwrap();
        assert_eq!(examples.len() as f64, number("pairs"));
        let roles = [Role::Chosen, Role::Rejected];
        for example in &examples {
            let found: Vec<&Role> = example.completions.iter().map(|it| &it.role).collect();
            assert_eq!(found, roles.iter().collect::<Vec<_>>());
        }
        // A reward model reads texts; the ids are for the model that drew them.
        let read = |mut example: Example| {
            for completion in &mut example.completions {
                completion.tokens = None;
            }
            example
        };
        let examples: Vec<Example> = examples.into_iter().map(read).collect();
        let worth: Vec<f64> = scores(&reward, &examples)
            .iter()
            .map(|scores| scores[place("agency")] + 0.5 * scores[place("trust")])
            .collect();
        let apart: Vec<f64> = worth.chunks(2).map(|pair| pair[0] - pair[1]).collect();
        assert!(apart.iter().all(|it| *it >= 0.02 - 1e-5), "{apart:?}");
        let mean = |side: usize| {
            let of: Vec<f64> = worth.iter().skip(side).step_by(2).copied().collect();
            of.iter().sum::<f64>() / of.len() as f64
        };
        near(
            &[mean(0), mean(1)],
            &[number("reward_chosen"), number("reward_rejected")],
            1e-5,
        );
    }
    let train: Vec<Example> = read_jsonl(&pairs.join("train.jsonl")).unwrap();
    let valid: Vec<Example> = read_jsonl(&pairs.join("valid.jsonl")).unwrap();
    assert!(train.len() > 3, "{}", train.len());
    let texts =
        |all: &[Example]| -> BTreeSet<String> { all.iter().map(|it| it.prompt.text()).collect() };
    assert!(texts(&train).is_disjoint(&texts(&valid)));
}

#[test]
fn what_a_reward_model_cannot_bear_is_refused() {
    let work = tempfile::tempdir().unwrap();
    for (set, expected) in [
        (
            "feedback.min_correlation=0.999",
            "is under min_correlation = 0.999",
        ),
        (
            "feedback.impressions=[\"agency\", \"charm\"]",
            "@all does not score \"charm\"; it scores agency, ",
        ),
    ] {
        let (code, stderr) = with(work.path(), "[\"feedback\"]", &[set]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(expected), "{expected:?} not in\n{stderr}");
    }
    let (_, stderr) = with(
        work.path(),
        "[\"feedback\"]",
        &["feedback.min_correlation=0.999"],
    );
    for expected in ["agency is ", "trust is ", "min_correlation=0"] {
        assert!(stderr.contains(expected), "{expected:?} not in\n{stderr}");
    }
    // The only impression of a model need not be named, and is held to the same.
    let one = [
        "all.impressions=[\"ease\"]",
        "feedback.impressions=[]",
        "feedback.impression_weights=[]",
    ];
    let (code, stderr) = with(
        work.path(),
        "[\"feedback\"]",
        &[&one[..], &["feedback.min_correlation=0.999"]].concat(),
    );
    assert!(code == 1 && stderr.contains("(ease is "), "{stderr}");
    let (code, stderr) = with(
        work.path(),
        "[\"feedback\"]",
        &["feedback.dull_penalty=1.0"],
    );
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("dull_penalty") && stderr.contains("corpus"),
        "{stderr}"
    );
    let idle = ["all.impressions=[\"ease\"]", "all.impression_weights=[0.0]"];
    let (code, stderr) = with(work.path(), "[\"all\"]", &idle);
    assert!(code == 2 && stderr.contains("all weigh 0"), "{stderr}");
    let (code, stderr) = with(
        work.path(),
        "[\"feedback\"]",
        &["all.objective=bradley-terry"],
    );
    assert!(code == 2 && stderr.contains("preference pairs"), "{stderr}");
}

#[test]
fn aif_is_the_reward_and_the_oracle_is_the_worlds() {
    let work = tempfile::tempdir().unwrap();
    let (code, stderr) = with(
        work.path(),
        "[\"aif-again\"]",
        &["aif.corpus=@world", "aif.corpus_split=pretrain"],
    );
    assert_eq!(code, 0, "{stderr}");
    // The same replies, beside which nothing rose.
    let again = Measures::read(&artifact(work.path(), "aif", "aif-again")).unwrap();
    assert_eq!(again.numbers["hacking"], 0.0);
    let aif = artifact(work.path(), "aif", "aif");
    let measures = Measures::read(&aif).unwrap();
    for name in [
        "aif",
        "aif.agency",
        "aif.respeak",
        "oracle",
        "oracle.agency",
        "oracle.dull",
        "finished",
        "dull_rate",
        "specificity",
        "distinct_1",
        "distinct_2",
        "mean_length",
        "self_bleu",
    ] {
        assert!(
            measures.numbers.contains_key(name),
            "{name}: {:?}",
            measures.numbers.keys()
        );
    }
    let number = |name: &str| measures.numbers[name];
    near(
        &[number("aif")],
        &[number("aif.agency") + 0.5 * number("aif.trust")],
        1e-9,
    );
    let world = &artifacts(work.path(), "impression-world")[0];
    let prompts: Vec<Example> = read_jsonl(&world.join("prompts.jsonl")).unwrap();
    let replies: Vec<Value> = read_jsonl(&aif.join("replies.jsonl")).unwrap();
    assert_eq!(replies.len(), 12);
    let truths: Vec<f64> = replies
        .iter()
        .map(|it| {
            let history: Vec<Said> = serde_json::from_value(it["history"].clone()).unwrap();
            let said = |prompt: &Example| prompt.prompt.history().map(|it| it.turns.clone());
            let asked = prompts
                .iter()
                .find(|prompt| said(prompt).as_ref() == Some(&history));
            let asked = asked.unwrap();
            let truth = judge_reply(&asked.meta, &asked.prompt, it["reply"].as_str().unwrap())
                .unwrap()
                .by_name();
            truth["agency"] + 0.5 * truth["trust"]
        })
        .collect();
    near(&measures.items["oracle"], &truths, 1e-9);
    near(
        &[number("oracle")],
        &[truths.iter().sum::<f64>() / 12.0],
        1e-9,
    );
}
