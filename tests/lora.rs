//! LoRA against PEFT and TRL (tests/fixtures/lora, written by scripts/make_lora_references.py).

use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;
use rapport::backend::default_backend;
use rapport::engine::{self, Frozen};
use rapport::model::hf;
use serde_json::Value;

use crate::parity::fixtures;
use crate::support::in_f32;
use crate::trl::{self, compare, rapport};

fn adapters() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures().join("lora")).unwrap();
    let dirs = entries.map(|entry| entry.unwrap().path());
    let mut dirs: Vec<_> = dirs
        .filter(|dir| dir.join("expected.json").is_file())
        .collect();
    dirs.sort();
    assert!(dirs.len() >= 7);
    dirs
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The largest difference from PEFT's logits of the last positions of each case.
fn apart(dir: &Path, expected: &Value) -> f32 {
    let model = Frozen::open(in_f32(), dir).unwrap();
    let mut apart = 0.0f32;
    for case in expected["cases"].as_array().unwrap() {
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let theirs: Vec<Vec<f32>> = serde_json::from_value(case["logits"].clone()).unwrap();
        let theirs = theirs.concat();
        let ours = model.logits(&ids);
        for (ours, theirs) in ours[ours.len() - theirs.len()..].iter().zip(&theirs) {
            apart = apart.max((ours - theirs).abs());
        }
    }
    apart
}

#[test]
fn adapters_of_peft_give_the_logits_of_peft() {
    for dir in adapters() {
        let apart = apart(&dir, &json(&dir.join("expected.json")));
        assert!(apart < 1e-4, "{}: {apart}", dir.display());
    }
}

/// A copy of a fixture's adapter with its configuration changed.
fn changed(
    name: &str,
    change: impl FnOnce(&mut serde_json::Map<String, Value>),
) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = fixtures().join("lora").join(name);
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(from.join(file), dir.path().join(file)).unwrap();
    }
    let path = dir.path().join("adapter_config.json");
    let mut config = json(&path);
    let map = config.as_object_mut().unwrap();
    let base = from.join(map["base_model_name_or_path"].as_str().unwrap());
    map.insert(
        "base_model_name_or_path".into(),
        base.to_string_lossy().into(),
    );
    change(map);
    std::fs::write(&path, config.to_string()).unwrap();
    dir
}

#[test]
fn what_is_not_computed_exactly_is_refused_by_its_key() {
    let refused = |key: &str, value: Value| {
        let dir = changed("llama-all", |map| {
            map.insert(key.into(), value);
        });
        let error = hf::open(dir.path()).err();
        format!("{:#}", error.unwrap_or_else(|| panic!("{key} was taken")))
    };
    for (key, value) in [
        ("peft_type", "LOHA".into()),
        ("task_type", "SEQ_2_SEQ_LM".into()),
        ("bias", "all".into()),
        ("init_lora_weights", "pissa".into()),
        ("lora_bias", true.into()),
        ("trainable_token_indices", serde_json::json!([1])),
        ("layer_replication", serde_json::json!([[0, 1]])),
        ("target_parameters", serde_json::json!(["w"])),
        ("alora_invocation_tokens", serde_json::json!([3])),
        ("use_qalora", true.into()),
        ("a_key_of_tomorrow", true.into()),
        ("r", 0.into()),
        ("r", "2".into()),
        ("lora_dropout", 1.5.into()),
        ("rank_pattern", serde_json::json!({"q_.*": 3})),
        ("alpha_pattern", serde_json::json!(3)),
        ("modules_to_save", serde_json::json!(["norm"])),
        ("target_modules", 3.into()),
    ] {
        let message = refused(key, value);
        assert!(message.contains(key), "{key}: {message}");
    }
    for (key, value, says) in [
        ("r", 3.into(), "expected [3, 32]"),
        ("use_dora", true.into(), "lora_magnitude_vector: missing"),
        (
            "target_modules",
            serde_json::json!(["q_proj"]),
            "unexpected",
        ),
        (
            "target_modules",
            serde_json::json!(["query"]),
            "\"query\" is no linear map",
        ),
        (
            "base_model_name_or_path",
            "somebody/something".into(),
            "no model folder at",
        ),
        (
            "base_model_name_or_path",
            "".into(),
            "expected the base's folder",
        ),
        (
            "modules_to_save",
            serde_json::json!(["lm_head"]),
            "holds no lm_head",
        ),
    ] {
        let message = refused(key, value);
        assert!(message.contains(says), "{key}: {message}");
    }
    // What turns a key off is taken.
    let dir = changed("llama-all", |map| {
        map.insert("corda_config".into(), Value::Null);
        map.insert("a_key_of_tomorrow".into(), serde_json::json!({}));
    });
    hf::open(dir.path()).unwrap();
}

fn steps_of(name: &str, extra: &[&str]) -> (tempfile::TempDir, Vec<Value>, Value) {
    let expected = trl::expected("lora", &format!("expected_{name}"));
    let model = format!("lora/{name}");
    let (expected, mut sets) = trl::settings_for(&model, expected, "trl_dpo/pairs.jsonl");
    let work = tempfile::tempdir().unwrap();
    sets.push("train.lora={}".into());
    sets.extend(extra.iter().map(ToString::to_string));
    let ours = rapport(work.path(), "dpo", &sets);
    (work, ours, expected)
}

const KEYS: [(&str, f64); 6] = [
    ("loss", 1e-4),
    ("grad_norm", 1e-3),
    ("rewards/chosen", 1e-3),
    ("rewards/margins", 1e-3),
    ("logps/chosen", 1e-4),
    ("logps/rejected", 1e-4),
];

/// Of the second, the reference is the adapter that training begins with, and not its bare base.
#[test]
fn dpo_takes_the_steps_of_trl_with_peft() {
    for (name, extra) in [
        ("begun", &[][..]),
        ("grown", &[]),
        ("grown", &["train.gradient_checkpointing=true"]),
    ] {
        let (work, ours, expected) = steps_of(name, extra);
        compare(&ours, &expected, &KEYS);
        let model = work.path().join("out/model");
        for file in [
            "adapter_config.json",
            "adapter_model.safetensors",
            "tokenizer.json",
        ] {
            assert!(model.join(file).exists(), "{file}");
        }
        assert!(!model.join("model.safetensors").exists());
        let trained = Frozen::open(in_f32(), &model).unwrap().logits(&[5, 6, 7]);
        let begun = fixtures().join("lora").join(name);
        let begun = Frozen::open(in_f32(), &begun).unwrap().logits(&[5, 6, 7]);
        assert_ne!(trained, begun);
    }
}

#[test]
fn merged_models_stand_alone_and_give_the_logits_of_peft() {
    for dir in adapters() {
        let name = dir.file_name().unwrap().to_str().unwrap();
        let merged = engine::merge(default_backend(), &dir).unwrap();
        // An embedding or a head that an adapter holds is tied no longer: huggingface/peft#2018.
        let tied = matches!(name, "gpt2" | "gemma3");
        assert_eq!(merged.config.tied, tied, "{name}");
        let out = tempfile::tempdir().unwrap();
        let (precision, limit) = (hf::Precision::F32, hf::DEFAULT_SHARD_LIMIT);
        hf::save(out.path(), &merged.config, precision, limit, |slot| {
            Ok(merged.weights(&slot.name).unwrap())
        })
        .unwrap();
        let apart = apart(out.path(), &json(&dir.join("expected.json")));
        assert!(apart < 1e-4, "{name}: {apart}");
    }
}

fn run(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::cargo_bin("rapport").unwrap();
    let output = command.args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn merge_says_what_it_compared_and_keeps_what_is_there() {
    let work = tempfile::tempdir().unwrap();
    let out = work.path().join("merged").display().to_string();
    let adapter = fixtures().join("lora/grown");
    let adapter_text = adapter.to_str().unwrap();
    let (done, text) = run(&["merge", adapter_text, "--out", &out]);
    assert!(done, "{text}");
    for part in [
        "an adapter of rank 2 for 14 linear maps, on the base",
        "trl_dpo/model",
        "opened again: logits of 128 tokens differ",
    ] {
        assert!(text.contains(part), "{text}");
    }
    for file in ["config.json", "tokenizer.json", "README.md"] {
        assert!(Path::new(&out).join(file).is_file(), "{file}");
    }
    assert!(!Path::new(&out).join("adapter_config.json").exists());
    let of = |dir: &Path| Frozen::open(in_f32(), dir).unwrap().logits(&[9, 8, 7]);
    for (ours, beside) in of(Path::new(&out)).iter().zip(of(&adapter)) {
        assert!((ours - beside).abs() < 1e-4);
    }
    let (done, text) = run(&["merge", adapter_text, "--out", &out]);
    assert!(!done && text.contains("is not an empty folder"), "{text}");
    let (done, text) = run(&["merge", &out, "--out", &format!("{out}-2")]);
    assert!(!done && text.contains("holds no adapter"), "{text}");
}

/// What a stage is trained beside is what its adapter is scored and merged beside.
#[test]
fn a_base_in_fewer_bits_is_trained_beside_and_remembered() {
    let base = fixtures().join("trl_dpo/model");
    let exact = Frozen::open(in_f32(), &base).unwrap().logits(&[5, 6, 7]);
    let mut far = Vec::new();
    for dtype in ["f32", "bf16", "int8", "nf4"] {
        let work = tempfile::tempdir().unwrap();
        let sets = [
            format!("model.path={}", base.display()),
            format!(
                "data.train={}",
                fixtures().join("trl_dpo/pairs.jsonl").display()
            ),
            "train.max_steps=2".into(),
            "train.lora.r=2".into(),
            "train.lora.dropout=0.1".into(),
            format!("train.base_dtype={dtype}"),
        ];
        let lines = rapport(work.path(), "dpo", &sets);
        // The reference is the same base: nothing has been learned at the first step.
        assert!(
            lines[0]["rewards/margins"].as_f64().unwrap().abs() < 1e-4,
            "{dtype}"
        );
        let model = work.path().join("out/model");
        let held = hf::open(&model).unwrap().1.adapter.unwrap().base_dtype;
        assert_eq!(held.name(), dtype);
        let beside = Frozen::open(in_f32(), &model).unwrap().logits(&[5, 6, 7]);
        let apart = exact.iter().zip(&beside).map(|(a, b)| (a - b).abs());
        far.push(apart.fold(0.0, f32::max));
        let out = work.path().join("merged").display().to_string();
        let (done, text) = run(&["merge", model.to_str().unwrap(), "--out", &out]);
        assert!(done, "{text}");
        assert_eq!(
            text.contains("was trained beside a base in"),
            dtype != "f32",
            "{text}"
        );
    }
    assert!(far[0] < far[2] && far[2] < far[3], "{far:?}");
}

#[test]
fn a_reward_model_of_adapters_trains_its_head_whole_and_scores_as_it_is_merged() {
    let work = tempfile::tempdir().unwrap();
    let (_, mut sets) = trl::settings("trl_reward", "pairs.jsonl");
    sets.push("train.lora.r=2".into());
    rapport(work.path(), "reward", &sets);
    let model = work.path().join("out/model");
    let config = json(&model.join("adapter_config.json"));
    assert_eq!(config["task_type"], "SEQ_CLS");
    assert_eq!(config["modules_to_save"], serde_json::json!(["score"]));
    let merged = work.path().join("merged").display().to_string();
    let model = model.to_str().unwrap();
    let (done, text) = run(&["merge", model, "--out", &merged]);
    assert!(done, "{text}");
    let rows = fixtures().join("trl_reward/pairs.jsonl");
    let scores = |model: &str| -> Vec<f64> {
        let out = work.path().join("scores.jsonl").display().to_string();
        let (done, text) = run(&["score", model, rows.to_str().unwrap(), "--out", &out]);
        assert!(done, "{text}");
        let lines = std::fs::read_to_string(out).unwrap();
        let score = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["scores"]["reward"].as_f64().unwrap()
        };
        lines.lines().map(score).collect()
    };
    let (beside, merged) = (scores(model), scores(&merged));
    assert!(beside.len() >= 16 && beside.iter().any(|score| score.abs() > 1e-3));
    for (beside, merged) in beside.iter().zip(&merged) {
        assert!((beside - merged).abs() < 1e-5, "{beside} {merged}");
    }
}

/// PEFT's folder has no config.json, and names two heads of which the model has one.
#[test]
fn a_scoring_adapter_of_peft_is_scored_as_by_peft() {
    let expected = json(&fixtures().join("lora/expected_score.json"));
    let expected = expected["rows"].as_array().unwrap();
    let adapter = fixtures().join("lora/score");
    assert!(!adapter.join("config.json").exists());
    let work = tempfile::tempdir().unwrap();
    let rows = work.path().join("rows.jsonl");
    let lines: Vec<String> = expected.iter().map(Value::to_string).collect();
    std::fs::write(&rows, lines.join("\n")).unwrap();
    let (done, text) = run(&["score", adapter.to_str().unwrap(), rows.to_str().unwrap()]);
    assert!(done, "{text}");
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let found: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let ours = found["scores"]["LABEL_0"].as_f64().unwrap();
        let theirs = expected["score"].as_f64().unwrap();
        assert!((ours - theirs).abs() < 1e-5, "{ours} {theirs}");
    }
}
