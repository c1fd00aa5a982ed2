//! `scripts/gpu_check.sh` waits for a GPU, so its every step is tried here without one.

use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

use crate::cli::root;

#[test]
fn the_check_of_a_gpu_is_ready_before_there_is_one() {
    let work = tempfile::tempdir().unwrap();
    let output = Command::new(root().join("scripts/gpu_check.sh"))
        .arg(cargo_bin("rapport"))
        .args(["--rehearse", "--out"])
        .arg(work.path())
        .env("BACKEND", "flex")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let told = std::fs::read_to_string(work.path().join("gpu_check.json")).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let row = |name: &str| {
        let rows = told["rows"].as_array().unwrap().iter();
        rows.clone().find(|row| row["step"] == name).unwrap()
    };
    for name in ["f32 losses: dpo", "f32 losses: sft", "f32 losses: reward"] {
        assert!(row(name)["difference"].as_f64().unwrap() < 1e-4, "{said}");
    }
    for name in ["30M: flex", "0.5B: flex"] {
        assert_eq!(row(name)["losses"].as_array().unwrap().len(), 3, "{said}");
        assert!(row(name)["tokens_per_s"].as_f64().unwrap() > 0.0);
    }
}
