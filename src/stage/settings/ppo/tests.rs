use std::path::Path;

use super::*;
use crate::stage::settings::keys::{Node, Reading, Scope};

/// What only one algorithm, or two of them, read.
const OWN: [(&str, &[&str]); 3] = [
    (
        "ppo",
        &[
            "kl_coef",
            "kl_estimator",
            "adap_kl_ctrl",
            "target",
            "horizon",
            "gamma",
            "lam",
            "whiten_rewards",
            "whiten_advantages",
            "vf_coef",
            "cliprange",
            "cliprange_value",
            "num_ppo_epochs",
            "value_head",
            "value_model",
        ],
    ),
    (
        "rloo",
        &["beta", "normalize_advantages", "num_iterations", "epsilon"],
    ),
    (
        "grpo",
        &[
            "beta",
            "scale_rewards",
            "loss_type",
            "num_iterations",
            "epsilon",
        ],
    ),
];

fn with(text: &str) -> (PpoSettings, Vec<String>) {
    let node = Node::parse(Path::new("r.toml"), text).unwrap();
    let (scope, mut found) = (Scope::default(), Reading::default());
    let mut keys = Keys::new(&scope, &node, &[], &mut found);
    let (settings, _) = read(&mut keys);
    drop(keys);
    let problems = found.problems.iter().map(ToString::to_string);
    (settings, problems.collect())
}

#[test]
fn each_algorithm_has_the_defaults_of_its_trainer() {
    let (ppo, problems) = with("");
    assert_eq!(problems, [""; 0]);
    assert_eq!((ppo.num_ppo_epochs, ppo.num_generations), (4, 1));
    assert_eq!((ppo.learning_rate, ppo.algorithm.kl_coef()), (3e-6, 0.05));
    let (rloo, problems) = with("algorithm = \"rloo\"");
    assert_eq!(problems, [""; 0]);
    assert_eq!((rloo.num_ppo_epochs, rloo.num_generations), (1, 2));
    let (grpo, problems) = with("algorithm = \"grpo\"\nbeta = 0.04\nreward_clip_range = [-1, 1]");
    assert_eq!(problems, [""; 0]);
    assert_eq!((grpo.num_generations, grpo.algorithm.kl_coef()), (8, 0.04));
    assert_eq!(grpo.reward_clip_range, Some((-1.0, 1.0)));
}

#[test]
fn what_another_algorithm_reads_is_refused_by_name() {
    for (chosen, own) in OWN {
        for (reader, key) in OWN
            .iter()
            .flat_map(|(name, keys)| keys.iter().map(move |key| (name, key)))
        {
            // Whatever it is set to: a key that is refused is not read.
            let (_, problems) = with(&format!("algorithm = \"{chosen}\"\n{key} = []"));
            let refused = problems
                .iter()
                .any(|it| it.contains(": goes with algorithm = "));
            assert_eq!(
                refused,
                !own.contains(key),
                "{chosen}, {key} of {reader}: {problems:?}"
            );
        }
    }
    let (_, problems) = with("algorithm = \"rloo\"\nlam = 0.9");
    assert_eq!(
        problems,
        ["r.toml:2: lam: goes with algorithm = \"ppo\" alone; set that or remove the key"]
    );
    let (_, problems) =
        with("beta = 0.1\ntarget = 3.0\nvalue_head = \"shared\"\nvalue_model = \"@m\"");
    assert_eq!(
        problems,
        [
            "r.toml:1: beta: goes with algorithm = \"rloo\" or \"grpo\" alone; set that or remove the key",
            "r.toml:2: target: goes with adap_kl_ctrl = true alone; set that or remove the key",
            "r.toml:4: value_model: goes with value_head = \"separate\" alone; set that or remove the key",
        ]
    );
}

#[test]
fn settings_that_do_not_go_together_are_problems() {
    for (text, key) in [
        ("num_generations = 3", "per_device_train_batch_size"),
        ("target = 3.0", "target"),
        ("adap_kl_ctrl = true\nkl_coef = 0", "kl_coef"),
        ("reward_clip_range = [1, 0]", "reward_clip_range"),
        ("temperature = 0", "temperature"),
        (
            "algorithm = \"rloo\"\nnum_generations = 1",
            "num_generations",
        ),
        ("top_p = 0.9", "top_p"),
        (
            "gradient_accumulation_steps = 1000000\nnum_mini_batches = 1000000",
            "num_mini_batches",
        ),
    ] {
        let (_, problems) = with(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].contains(key), "{text}: {problems:?}");
    }
}
