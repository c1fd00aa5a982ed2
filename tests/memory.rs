//! What a dry run says of memory, against what the run then takes.

use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;
use rapport::model::config::{DecoderConfig, Family};
use rapport::model::{hf, weights};

use crate::parity::fixtures;

/// A model of 13 million parameters with the fixture's tokenizer.
fn middling_model(dir: &Path) {
    let from = fixtures().join("trl_dpo/model");
    let (small, _) = hf::open(&from).unwrap();
    let config = DecoderConfig {
        max_positions: 1024,
        bos: small.bos,
        eos: small.eos,
        ..DecoderConfig::new(Family::Llama, small.vocab_size, 512, 4, 8)
    };
    std::fs::create_dir_all(dir).unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(from.join(file), dir.join(file)).unwrap();
    }
    let mut arrays = weights::random(&config, 0.02, 1);
    hf::save(
        dir,
        &config,
        hf::Precision::F32,
        hf::DEFAULT_SHARD_LIMIT,
        |slot| Ok(arrays.remove(&slot.name).unwrap().1),
    )
    .unwrap();
}

#[test]
fn a_dry_run_tells_the_peak_memory_within_a_fifth() {
    let work = tempfile::tempdir().unwrap();
    middling_model(&work.path().join("model"));
    let run = |extra: &[&str]| {
        let mut command = Command::cargo_bin("rapport").unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        command.current_dir(work.path()).args(["run", "dpo"]);
        command.arg("--experiments").arg(root.join("experiments"));
        let pairs = fixtures().join("trl_dpo/pairs.jsonl");
        for set in [
            "model.path=model".to_owned(),
            format!("data.train={}", pairs.display()),
            "train.per_device_train_batch_size=12".to_owned(),
            "train.max_steps=2".to_owned(),
        ] {
            command.args(["--set", &set]);
        }
        let output = command.args(extra).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    };
    let number = |text: &str, before: &str, after: &str| -> f64 {
        let (_, rest) = text.split_once(before).expect(before);
        let (number, _) = rest.split_once(after).expect(after);
        number.trim().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let estimated = number(&run(&["--dry-run"]), "memory: about ", " GB");
    let measured = number(&run(&["--out", "out"]), "full; ", " GB at the peak");
    assert!(
        (estimated / measured - 1.0).abs() < 0.2,
        "{estimated} GB estimated, {measured} GB measured"
    );
}
