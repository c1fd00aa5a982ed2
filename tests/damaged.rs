//! Model folders that are damaged in every way that a seed draws: each opens or is an error, never a panic, and
//! within seconds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rapport::data::Tokenizer;
use rapport::model::hf;
use serde_json::{Value, json};

const FOLDERS: [&str; 3] = ["trl_dpo/model", "models/llama-shards", "models/gpt2"];
const CASES: u64 = 400;

fn copy(from: &Path, to: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(from)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|file| file.file_name().unwrap() != "expected.json")
        .map(|file| {
            let target = to.join(file.file_name().unwrap());
            fs::copy(&file, &target).unwrap();
            target
        })
        .collect();
    files.sort();
    files
}

/// What a number, a text or a table may be replaced by.
fn nasty(rng: &mut ChaCha8Rng) -> Value {
    let all = [
        json!(-1),
        json!(0),
        json!(1),
        json!(2),
        json!(0.5),
        json!(1e308),
        json!(1u64 << 31),
        json!(4_294_967_295u64),
        json!(1u64 << 32),
        json!(1u64 << 62),
        json!(u64::MAX),
        json!(null),
        json!(true),
        json!(""),
        json!("##"),
        json!("\u{0}"),
        json!("../../etc/passwd"),
        json!("é".repeat(1 << 12)),
        json!([]),
        json!([[[[1]]]]),
        json!({}),
        json!({"type": "Sequence", "normalizers": [], "pretokenizers": [], "processors": [], "decoders": []}),
        json!({"type": "Split", "pattern": {"Regex": "(a*)*b"}, "behavior": "Removed", "invert": true}),
        json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "x"}),
        json!({"type": "Prepend", "prepend": ""}),
        json!({"type": "WordPiece", "prefix": "é", "cleanup": true}),
        json!({"type": "Strip", "content": "é", "start": 3, "stop": 9}),
    ];
    all[rng.random_range(0..all.len())].clone()
}

/// Replaces, removes or doubles one value somewhere in a JSON text.
fn change(value: &mut Value, rng: &mut ChaCha8Rng) {
    let deeper = rng.random_bool(0.75);
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let at = rng.random_range(0..map.len());
            let key = map.keys().nth(at).unwrap().clone();
            match rng.random_range(0..12) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(format!("{key}x"), nasty(rng))),
                _ => change(map.get_mut(&key).unwrap(), rng),
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = rng.random_range(0..items.len());
            match rng.random_range(0..12) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change(&mut items[at], rng),
            }
        }
        other => *other = nasty(rng),
    }
}

fn damage(file: &Path, rng: &mut ChaCha8Rng) {
    let mut bytes = fs::read(file).unwrap();
    let json = file
        .extension()
        .is_some_and(|extension| extension == "json");
    match rng.random_range(0..10) {
        0 => return fs::remove_file(file).unwrap(),
        1 => bytes.truncate(rng.random_range(0..=bytes.len())),
        2 => bytes = Vec::new(),
        3 => {
            for _ in 0..rng.random_range(1..20) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
        }
        _ if json => {
            let mut value: Value = serde_json::from_slice(&bytes).unwrap();
            for _ in 0..rng.random_range(1..3) {
                change(&mut value, rng);
            }
            bytes = serde_json::to_vec(&value).unwrap();
        }
        // A safetensors file: its header's length, or its header.
        4 => bytes[..8].copy_from_slice(&rng.random::<u64>().to_le_bytes()),
        5 => bytes[..8].copy_from_slice(&(99_000_000u64).to_le_bytes()),
        _ => {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
            change(&mut header, rng);
            let header = serde_json::to_vec(&header).unwrap();
            let data = bytes.split_off(8 + length);
            bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header);
            bytes.extend(data);
        }
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_folder_opens_or_is_an_error_within_seconds() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let cases = std::env::var("RAPPORT_DAMAGED").map_or(CASES, |cases| cases.parse().unwrap());
    let mut opened = 0;
    for case in 0..cases {
        let mut rng = ChaCha8Rng::seed_from_u64(case);
        let from = fixtures.join(FOLDERS[rng.random_range(0..FOLDERS.len())]);
        let dir = tempfile::tempdir().unwrap();
        let files = copy(&from, dir.path());
        damage(&files[rng.random_range(0..files.len())], &mut rng);
        let begun = Instant::now();
        let outcome = std::panic::catch_unwind(|| {
            if let Ok((config, checkpoint)) = hf::open(dir.path()) {
                for slot in hf::slots(&config) {
                    let _ = checkpoint.read(&slot);
                }
            }
            let Ok(tokenizer) = Tokenizer::open(dir.path()) else {
                return false;
            };
            for text in [
                "User: hi there\nBot:",
                "",
                "naïve <s>é\u{1F642} \0 a",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaac",
            ] {
                if let Ok(encoding) = tokenizer.encode(text) {
                    let within = |id: &u32| (*id as usize) < tokenizer.vocab_size();
                    assert!(encoding.ids.iter().all(within));
                    let _ = tokenizer.decode(&encoding.ids);
                }
            }
            true
        });
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "case {case}: {took:?}");
        opened +=
            u64::from(outcome.unwrap_or_else(|_| panic!("case {case} of {}", from.display())));
    }
    assert!(opened > 0 && opened < cases, "{opened} of {cases} opened");
}
