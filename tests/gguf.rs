//! GGUF files, byte for byte as they were when they were last looked at: the tensors of gpt2, llama and mistral were those
//! of llama.cpp's own converter for other models of these families (`scripts/check_gguf.py` compares them).

use std::path::Path;

use rapport::model::gguf::{self, Encoding};
use rapport::model::hf;
use rapport::store::hash_file;

use crate::parity::fixtures;

/// Hashes of the files that each model of the fixtures becomes, as F16 and as Q8_0.
const GOLDEN: &[(&str, [&str; 2])] = &[
    ("gpt2", ["88d9182144c41af0", "c8651569e199f8af"]),
    ("gpt2-untied", ["c3ed6b28b7ce93ce", "f58956ec7531f205"]),
    ("llama", ["7fa86adef7860781", "26492b225dd628ea"]),
    ("llama-shards", ["d11bfe3ab0aa2813", "eace5048eb55629c"]),
    ("mistral", ["b39ccffef9a10610", "707f7cfc3cfa48d9"]),
    ("qwen2", ["ce35917fcd19234b", "ab19de8dbdf25f08"]),
];

fn write(model: &str, encoding: Encoding, out: &Path) -> Vec<String> {
    let dir = fixtures().join("models").join(model);
    let (config, checkpoint) = hf::open(&dir).unwrap();
    let nothing = Vec::new;
    gguf::write(out, &config, &checkpoint, encoding, nothing(), nothing()).unwrap()
}

#[test]
fn a_model_becomes_the_same_file_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (model, _) in GOLDEN {
        let hash = |encoding, name: &str| {
            let out = dir.path().join(format!("{model}-{name}.gguf"));
            write(model, encoding, &out);
            hash_file(&out).unwrap().to_string()
        };
        found.push((
            *model,
            [hash(Encoding::F16, "f16"), hash(Encoding::Q8_0, "q8")],
        ));
    }
    let golden: Vec<(&str, [String; 2])> = GOLDEN
        .iter()
        .map(|(model, hashes)| (*model, hashes.map(str::to_owned)))
        .collect();
    assert_eq!(found, golden);
}
