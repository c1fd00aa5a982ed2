//! Whole runs: first ratios, early stops, scores, the controller, and resuming.

use std::path::Path;

use burn::module::AutodiffModule;
use rapport::model::config::Family;
use rapport::model::decoder::Compute;
use rapport::model::{Decoder, weights};
use rapport::store::{Stop, read_metrics};
use rapport::train::ppo::kl::AdaptiveKl;
use rapport::train::ppo::settings::Ppo;
use rapport::train::ppo::{
    ActorCritic, Algorithm, Asked, PpoJob, PpoOutcome, PpoSettings, ValueHead, train,
};
use rapport::train::schedule::Schedule;
use serde_json::{Map, Value};

use crate::support::{Ad, Inner, config, model};

fn prompts() -> Vec<Vec<u32>> {
    let prompt = |i: u32| (0..3 + i % 4).map(|j| (i * 13 + j * 5) % 49 + 1).collect();
    (0..10).map(prompt).collect()
}

/// A reward that knows prompt and reply: low tokens are good, more so to later prompts.
fn low_tokens(asked: &[Asked<'_>]) -> anyhow::Result<Vec<f64>> {
    let score = |asked: &Asked<'_>| {
        let low = asked.reply.iter().filter(|&&token| token < 20).count();
        low as f64 / (asked.reply.len() + 1) as f64 + asked.prompt as f64 / 10.0
    };
    Ok(asked.iter().map(score).collect())
}

fn run(
    dir: &Path,
    settings: &PpoSettings,
    separate: bool,
    stop: bool,
) -> anyhow::Result<PpoOutcome<Decoder<Inner>>> {
    run_as(Compute::default(), dir, settings, (separate, stop))
}

fn run_as(
    compute: Compute,
    dir: &Path,
    settings: &PpoSettings,
    (separate, stop): (bool, bool),
) -> anyhow::Result<PpoOutcome<Decoder<Inner>>> {
    let device = Default::default();
    let computed = |seed| {
        let mut model: Decoder<Ad> = model(&config(Family::Qwen2), seed, &device);
        model.compute = compute;
        model
    };
    let policy = computed(3);
    let reference = policy.valid().frozen(compute.precision);
    let value = settings.algorithm.has_values().then(|| {
        let trunk = separate.then(|| computed(4));
        ValueHead::zeros(trunk, policy.config.hidden_size, &device)
    });
    let asked = Stop::new();
    if stop {
        asked.request();
    }
    let job = PpoJob {
        label: "run",
        settings,
        prompts: &prompts(),
        dir,
        seed: 5,
        stop: &asked,
    };
    let model = ActorCritic { policy, value };
    train(model, &reference, &job, &mut low_tokens, &device)
}

fn lines(dir: &Path) -> Vec<Map<String, Value>> {
    read_metrics(&dir.join("metrics.jsonl")).unwrap()
}

fn value(line: &Map<String, Value>, key: &str) -> f64 {
    line[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key}: {line:?}"))
}

fn algorithms() -> [Algorithm; 3] {
    [
        Algorithm::Ppo(super::ppo()),
        Algorithm::Rloo(super::rloo()),
        Algorithm::Grpo(super::grpo()),
    ]
}

#[test]
fn the_first_minibatch_has_ratios_of_exactly_one() {
    for algorithm in algorithms() {
        let mut settings = super::settings(algorithm);
        // Of one update a step, in parts, every minibatch is the first.
        settings.num_ppo_epochs = 1;
        settings.num_mini_batches = 1;
        settings.gradient_accumulation_steps = 2;
        settings.sampling.temperature = 0.8;
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &settings, true, false).unwrap();
        let lines = lines(folder.path());
        assert_eq!(lines.len(), 3, "10 prompts, 2 replies each, 8 a step");
        for line in &lines {
            assert_eq!(value(line, "val/ratio"), 1.0);
            assert_eq!(value(line, "policy/approxkl_avg"), 0.0);
            assert_eq!(value(line, "policy/clipfrac_avg"), 0.0);
            assert!(value(line, "grad_norm") > 0.0);
            // The policy's loss is then the mean advantage, negated: of whitened or grouped ones, nothing.
            if !matches!(settings.algorithm, Algorithm::Grpo(_)) {
                assert!(value(line, "loss/policy_avg").abs() < 1e-6);
            }
        }
        assert_eq!(
            value(&lines[0], "objective/kl"),
            0.0,
            "the policy is the reference yet"
        );
        assert!(value(&lines[2], "objective/kl") != 0.0);
    }
}

#[test]
fn recomputed_blocks_train_the_same_policy() {
    for (algorithm, separate) in algorithms().into_iter().zip([true, false, false]) {
        let settings = super::settings(algorithm);
        let policy = |recompute: bool| {
            let folder = tempfile::tempdir().unwrap();
            let compute = Compute {
                recompute,
                ..Compute::default()
            };
            let outcome = run_as(compute, folder.path(), &settings, (separate, false)).unwrap();
            weights::export(&outcome.policy)
        };
        let (kept, again) = (policy(false), policy(true));
        for (name, (_, kept)) in &kept {
            for (a, b) in again[name].1.iter().zip(kept) {
                assert!((a - b).abs() < 1e-5, "{name}: {a} {b}");
            }
        }
    }
}

/// Flex and CUDA compute in bf16; the others refuse.
#[cfg(any(feature = "flex", feature = "cuda"))]
#[test]
fn in_bf16_the_first_ratios_are_one_too() {
    use rapport::model::decoder::Precision;

    let mut settings = super::settings(Algorithm::Ppo(super::ppo()));
    settings.num_ppo_epochs = 1;
    settings.num_mini_batches = 1;
    let compute = Compute {
        precision: Precision::Bf16,
        recompute: true,
    };
    let folder = tempfile::tempdir().unwrap();
    run_as(compute, folder.path(), &settings, (true, false)).unwrap();
    let lines = lines(folder.path());
    for line in &lines {
        assert_eq!(value(line, "val/ratio"), 1.0);
        assert!(value(line, "grad_norm") > 0.0);
    }
    assert_eq!(value(&lines[0], "objective/kl"), 0.0);
}

#[test]
fn updates_stop_once_the_policy_has_moved_too_far() {
    let mut settings = super::settings(Algorithm::Ppo(super::ppo()));
    settings.learning_rate = 0.05;
    settings.num_ppo_epochs = 3;
    let free = tempfile::tempdir().unwrap();
    run(free.path(), &settings, false, false).unwrap();
    let free = lines(free.path());
    assert!(
        free.iter()
            .all(|line| value(line, "updates") == 6.0 && line["early_stop"] == false)
    );
    assert!(value(&free[0], "policy/approxkl_avg") > 0.02);

    settings.target_kl = 0.02;
    let held = tempfile::tempdir().unwrap();
    let outcome = run(held.path(), &settings, false, false).unwrap();
    let held = lines(held.path());
    let stopped = held
        .iter()
        .filter(|line| line["early_stop"] == true)
        .count();
    assert!(stopped > 0 && stopped == outcome.state.early_stops);
    let updates: f64 = held.iter().map(|line| value(line, "updates")).sum();
    assert_eq!(updates as usize, outcome.state.updates);
    assert!(updates < 18.0 && held.iter().all(|line| value(line, "updates") >= 1.0));
    for line in &held {
        assert!(
            value(line, "policy/approxkl_avg") <= 0.02,
            "only what is within counts"
        );
    }
}

#[test]
fn scores_are_clipped_and_lose_what_a_missing_eos_costs() {
    let mut settings = super::settings(Algorithm::Rloo(super::rloo()));
    settings.reward_clip_range = Some((0.0, 0.3));
    settings.missing_eos_penalty = 2.0;
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &settings, false, false).unwrap();
    let mut finished = 0.0;
    for line in lines(folder.path()) {
        let share = value(&line, "val/num_eos_tokens") / 8.0;
        finished += share;
        let without = value(&line, "objective/scores") + 2.0 * (1.0 - share);
        assert!((0.0..=0.3 + 1e-9).contains(&without), "{line:?}");
    }
    assert!(finished > 0.0, "some reply ends by itself");
}

#[test]
fn an_adaptive_coefficient_follows_the_controller() {
    let control = AdaptiveKl {
        target: 0.5,
        horizon: 100.0,
    };
    let settings = super::settings(Algorithm::Ppo(Ppo {
        adaptive: Some(control),
        ..super::ppo()
    }));
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &settings, false, false).unwrap();
    let lines = lines(folder.path());
    assert_eq!(value(&lines[0], "objective/kl_coef"), 0.05);
    for pair in lines.windows(2) {
        let next = control.next(
            value(&pair[0], "objective/kl_coef"),
            value(&pair[0], "objective/kl"),
            8,
        );
        assert_eq!(value(&pair[1], "objective/kl_coef"), next);
        assert_ne!(value(&pair[0], "objective/kl_coef"), next);
        let cost = -value(&pair[1], "objective/kl_coef") * value(&pair[1], "objective/kl");
        assert!((value(&pair[1], "objective/non_score_reward") - cost).abs() < 1e-12);
    }
}

#[test]
fn the_weights_that_scored_best_are_kept_where_asked_for() {
    let mut settings = super::settings(Algorithm::Grpo(super::grpo()));
    settings.num_train_epochs = 3.0;
    settings.lr_scheduler_type = Schedule::Constant;
    settings.keep_best = true;
    let folder = tempfile::tempdir().unwrap();
    let kept = run(folder.path(), &settings, false, false).unwrap();
    let scores: Vec<f64> = lines(folder.path())
        .iter()
        .map(|line| value(line, "objective/scores"))
        .collect();
    // The replies of a step are those of the weights before it.
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = scores.iter().position(|&score| score == best).unwrap();
    assert!(kept.kept_step == first && 0 < first && first < scores.len());
    settings.keep_best = false;
    settings.total_episodes = 8 * first;
    let short = tempfile::tempdir().unwrap();
    let ended = run(short.path(), &settings, false, false).unwrap();
    assert_eq!(
        weights::export(&kept.policy),
        weights::export(&ended.policy)
    );
}

/// What of a line is no speed.
fn facts(dir: &Path) -> Vec<Map<String, Value>> {
    let mut lines = lines(dir);
    for line in &mut lines {
        line.retain(|key, _| !key.starts_with("seconds") && key != "eps");
    }
    lines
}

fn to_resume() -> Vec<PpoSettings> {
    let ppo = Ppo {
        adaptive: Some(AdaptiveKl {
            target: 0.5,
            horizon: 100.0,
        }),
        ..super::ppo()
    };
    [Algorithm::Ppo(ppo), Algorithm::Grpo(super::grpo())]
        .map(|algorithm| {
            let mut settings = super::settings(algorithm);
            settings.num_train_epochs = 2.0;
            settings.learning_rate = 1e-2;
            settings.target_kl = 0.05;
            settings.save_steps = 2;
            settings.keep_best = true;
            settings
        })
        .into()
}

#[test]
fn a_run_stopped_after_every_step_ends_like_one_that_never_stopped() {
    for settings in to_resume() {
        for separate in [false, true] {
            let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let expected = run(whole.path(), &settings, separate, false).unwrap();
            assert_eq!(expected.steps, 5);
            for step in 1..=4 {
                assert!(
                    run(parts.path(), &settings, separate, true).is_err(),
                    "stopped"
                );
                assert_eq!(lines(parts.path()).len(), step);
            }
            let found = run(parts.path(), &settings, separate, false).unwrap();
            assert_eq!(
                weights::export(&found.policy),
                weights::export(&expected.policy)
            );
            assert_eq!(facts(parts.path()), facts(whole.path()));
        }
    }
}

#[test]
fn a_killed_run_goes_on_from_the_last_saved_step() {
    for settings in to_resume() {
        let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = run(whole.path(), &settings, true, false).unwrap();
        // A kill leaves the checkpoint of step 4 (save_steps 2 of 5) and a torn line: the state after a run whose end
        // is then taken away.
        run(killed.path(), &settings, true, false).unwrap();
        let metrics = killed.path().join("metrics.jsonl");
        let text = std::fs::read_to_string(&metrics).unwrap();
        std::fs::write(&metrics, &text[..text.len() - 20]).unwrap();
        let found = run(killed.path(), &settings, true, false).unwrap();
        assert_eq!(
            weights::export(&found.policy),
            weights::export(&expected.policy)
        );
        assert_eq!(facts(killed.path()), facts(whole.path()));
    }
}

#[test]
fn a_score_that_is_no_number_ends_the_run() {
    let settings = super::settings(Algorithm::Rloo(super::rloo()));
    let folder = tempfile::tempdir().unwrap();
    let device = Default::default();
    let policy: Decoder<Ad> = model(&config(Family::Qwen2), 3, &device);
    let reference = policy.valid();
    let job = PpoJob {
        label: "broken",
        settings: &settings,
        prompts: &prompts(),
        dir: folder.path(),
        seed: 5,
        stop: &Stop::new(),
    };
    let mut reward = |asked: &[Asked<'_>]| Ok(vec![f64::NAN; asked.len()]);
    let model = ActorCritic {
        policy,
        value: None,
    };
    let outcome = train(model, &reference, &job, &mut reward, &device);
    let error = outcome.err().expect("no step is taken").to_string();
    assert!(
        error.contains("a reply to prompt") && error.contains("NaN"),
        "{error}"
    );
}
