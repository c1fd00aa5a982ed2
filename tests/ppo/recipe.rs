//! The stage kind `ppo` in a recipe: every algorithm, either value head, reward model and oracle.

use std::path::Path;

use serde_json::Value;

use crate::cli::{root, run};

fn recipe() -> String {
    root().join("tests/recipes/ppo.toml").display().to_string()
}

fn read(work: &Path, file: &str) -> String {
    std::fs::read_to_string(work.join("runs/ppo/sandbox").join(file)).unwrap()
}

#[test]
fn every_algorithm_trains_a_model_and_says_how() {
    let work = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(work.path(), &["run", &recipe()]);
    assert_eq!(code, 0, "{stderr}");
    let summary: Value = serde_json::from_str(&read(work.path(), "summary.json")).unwrap();
    let metrics = &summary["metrics"];
    let number = |name: &str| {
        metrics[name]["mean"]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}"))
    };
    // Replies, and those of a step.
    for (stage, episodes, batch) in [
        ("shared", 24, 8),
        ("separate", 24, 8),
        ("rloo", 16, 8),
        ("grpo", 16, 8),
    ] {
        let steps = (episodes / batch) as f64;
        assert_eq!(number(&format!("{stage}.steps")), steps);
        assert_eq!(number(&format!("{stage}.episodes")), f64::from(episodes));
        assert!(number(&format!("{stage}.kept_step")) <= steps);
    }
    // Two minibatches, two epochs, three steps.
    assert_eq!(number("shared.updates"), 12.0);
    assert_ne!(number("shared.kl_coef"), 0.05, "adaptive");
    assert_eq!(number("rloo.kl_coef"), 0.05);

    let lines: Vec<Value> = read(work.path(), "metrics.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |stage: &str| {
        let of = lines.iter().filter(|line| line["stage"] == stage);
        of.cloned().collect::<Vec<_>>()
    };
    let names = [
        "objective/kl",
        "objective/entropy",
        "objective/non_score_reward",
        "objective/rlhf_reward",
        "objective/scores",
        "policy/approxkl_avg",
        "policy/clipfrac_avg",
        "policy/entropy_avg",
        "loss/policy_avg",
        "val/ratio",
        "val/ratio_var",
        "val/num_eos_tokens",
        "lr",
        "episode",
        "eps",
    ];
    for stage in ["shared", "separate", "rloo", "grpo"] {
        for line in of(stage) {
            for name in names {
                assert!(
                    line[name].is_f64() || line[name].is_u64(),
                    "{stage}: {name} in {line}"
                );
            }
            let has_values = line.get("loss/value_avg").is_some();
            assert_eq!(has_values, ["shared", "separate"].contains(&stage));
        }
    }
    // Where the reference is the start, the first step's KL is nothing; a scratch model is far from it.
    assert_eq!(of("shared")[0]["objective/kl"], 0.0);
    assert!(of("separate")[0]["objective/kl"].as_f64().unwrap() > 1.0);
    // On the oracle's scale, and clipped to that of ratings.
    for stage in ["rloo", "grpo"] {
        for line in of(stage) {
            assert!((0.0..=10.0).contains(&line["objective/scores"].as_f64().unwrap()));
        }
    }
    // All that comes before is there, so a stage that is due can be looked at.
    let arguments = ["run", &recipe(), "--dry-run", "--set", "shared.kl_coef=0.1"];
    let (code, stdout, stderr) = run(work.path(), &arguments);
    assert_eq!(code, 0, "{stderr}");
    let expected = "3 steps of 8 replies to 8 prompts, 4 updates of 4 replies each";
    assert!(stdout.contains(expected), "{stdout}");
}

#[test]
fn settings_of_another_algorithm_are_refused_with_their_line() {
    let work = tempfile::tempdir().unwrap();
    let arguments = [
        "run",
        &recipe(),
        "--set",
        "rloo.kl_coef=0.1",
        "--set",
        "rloo.reward=@reward",
    ];
    let (code, _, stderr) = run(work.path(), &arguments);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("rloo.kl_coef: goes with algorithm = \"ppo\" alone"),
        "{stderr}"
    );
    assert!(stderr.contains("rewarded_by = \"model\""), "{stderr}");
}

/// The reference of `shared` is its base with the adapter off; the values of `separate` go on from a reward model's adapter.
#[test]
fn adapters_are_trained_in_the_place_of_the_policy() {
    let work = tempfile::tempdir().unwrap();
    let sets = [
        "outputs=[\"shared\", \"separate\"]",
        "reward.lora.r=2",
        "shared.lora.r=2",
    ];
    let recipe = recipe();
    let mut arguments = vec!["run", recipe.as_str()];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let (code, _, stderr) = run(work.path(), &arguments);
    assert_eq!(code, 0, "{stderr}");
    let summary: Value = serde_json::from_str(&read(work.path(), "summary.json")).unwrap();
    for stage in ["shared", "separate"] {
        // Rank 2 for seven maps of 16, 16 and 32 values.
        let trained = &summary["metrics"][format!("{stage}.trained_parameters")]["mean"];
        assert_eq!(
            trained.as_f64(),
            Some(2.0 * (4.0 * 32.0 + 3.0 * 48.0)),
            "{stage}"
        );
    }
    let metrics = read(work.path(), "metrics.jsonl");
    let lines = metrics
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines
        .filter(|line: &Value| line["stage"] == "shared")
        .collect();
    let kl = |line: &Value| line["objective/kl"].as_f64().unwrap();
    assert_eq!(kl(&lines[0]), 0.0);
    assert_ne!(kl(&lines[2]), 0.0);
}
