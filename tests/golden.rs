//! What stages make, held against what they made before: output that changes while no version does is a mistake,
//! because artifacts are found again by an identity of which the versions are the only part that knows the code.
//!
//! `tests/fixtures/golden.json` holds, by identity, a hash of each file with its fractions left out, and the mean size
//! of these (on a logarithmic scale). What a backend computes differs in its last bits from one kind of processor to
//! another, and with it now and then a drawn token: there, such artifacts are made and not compared. After a change that
//! is meant, raise the version of the kind, or of the shared module (`src/stage/modules.rs`), and write the table again:
//!
//! ```text
//! UPDATE_GOLDEN=1 cargo test --test all golden
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rapport::stage::KINDS;
use rapport::store::{Hash, Manifest, hash_bytes, hash_json, read_json, read_jsonl, write_json};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::{root, run};

const RECIPES: [&str; 6] = ["tiny", "guardrail", "nli", "reward", "ppo", "filter"];
/// How far a mean size may be from what it was.
const TOLERANCE: f64 = 1e-3;

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// Of all but the fractions.
    hash: Hash,
    /// The mean size of the fractions, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<f64>,
}

impl Content {
    fn of(hash: Hash, fractions: &[f64]) -> Self {
        let sum: f64 = fractions.iter().map(|value| value.abs().ln_1p()).sum();
        Self {
            hash,
            size: (!fractions.is_empty()).then(|| sum / fractions.len() as f64),
        }
    }

    fn is(&self, other: &Self) -> bool {
        let near = match (self.size, other.size) {
            (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
            (a, b) => a.is_some() == b.is_some(),
        };
        self.hash == other.hash && near
    }
}

/// Each file of an artifact, by its path in it.
type Files = BTreeMap<String, Content>;

/// `golden.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Table {
    /// The kind of processor that it was made on.
    processor: String,
    artifacts: BTreeMap<String, Files>,
}

/// What the kernels choose their sums by.
fn processor() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "x86_64 avx512f";
        }
        if is_x86_feature_detected!("avx2") {
            return "x86_64 avx2";
        }
    }
    std::env::consts::ARCH
}

/// Whether a backend computes what stages of the kind make.
fn computed(kind: &str) -> bool {
    let kind = KINDS.iter().find(|it| it.name == kind);
    kind.is_none_or(|kind| kind.uses_backend)
}

/// Takes the fractions out of a value. Numbers that may differ each time go altogether.
fn part(value: &mut Value, fractions: &mut Vec<f64>) {
    match value {
        Value::Number(number) if number.is_f64() => {
            fractions.extend(number.as_f64());
            *value = Value::Null;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| part(item, fractions)),
        Value::Object(fields) => {
            fields.remove("varying");
            fields.values_mut().for_each(|field| part(field, fractions));
        }
        _ => {}
    }
}

fn content(path: &Path) -> Content {
    let mut fractions = Vec::new();
    let ending = path.extension().and_then(|ending| ending.to_str());
    let mut values = match ending {
        Some("json") => read_json::<Value>(path).unwrap(),
        Some("jsonl") => Value::Array(read_jsonl(path).unwrap()),
        Some("safetensors") => {
            let bytes = fs::read(path).unwrap();
            let mut named = Vec::new();
            for (name, tensor) in SafeTensors::deserialize(&bytes).unwrap().iter() {
                named.push(format!("{name} {:?} {:?}", tensor.dtype(), tensor.shape()));
                if tensor.dtype() == Dtype::F32 {
                    let (values, _) = tensor.data().as_chunks::<4>();
                    fractions.extend(
                        values
                            .iter()
                            .map(|&value| f64::from(f32::from_le_bytes(value))),
                    );
                }
            }
            named.sort();
            named.into()
        }
        // Raw f32 log-probs: their number.
        Some("f32" | "bin") => fs::metadata(path).unwrap().len().into(),
        _ => return Content::of(hash_bytes(&fs::read(path).unwrap()), &[]),
    };
    part(&mut values, &mut fractions);
    Content::of(hash_json(&values), &fractions)
}

fn files(dir: &Path, before: &str, found: &mut Files) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with('.') {
            continue;
        }
        let inner = format!("{before}{name}");
        if entry.path().is_dir() {
            files(&entry.path(), &format!("{inner}/"), found);
        // The first holds times, the second speeds.
        } else if inner != "artifact.json" && !name.ends_with("metrics.jsonl") {
            found.insert(inner, content(&entry.path()));
        }
    }
}

#[test]
fn output_that_changes_has_a_version_that_does() {
    let table = root().join("tests/fixtures/golden.json");
    let work = tempfile::tempdir().unwrap();
    for name in RECIPES {
        let recipe = root().join(format!("tests/recipes/{name}.toml"));
        let recipe = recipe.display().to_string();
        let (code, _, stderr) = run(work.path(), &["run", &recipe, "--backend", "flex"]);
        assert_eq!(code, 0, "{name}: {stderr}");
    }
    let mut made: BTreeMap<String, Files> = BTreeMap::new();
    let mut manifests: BTreeMap<String, Manifest> = BTreeMap::new();
    for entry in fs::read_dir(work.path().join("runs/.artifacts")).unwrap() {
        let path = entry.unwrap().path();
        let identity = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !identity.starts_with('.') {
            let mut found = Files::new();
            files(&path, "", &mut found);
            manifests.insert(identity.clone(), Manifest::read(&path).unwrap());
            made.insert(identity, found);
        }
    }
    let known: Table = match table.exists() {
        true => read_json(&table).unwrap(),
        false => Table::default(),
    };
    let alike = known.processor == processor();
    let mut changed = Vec::new();
    for (identity, files) in &made {
        let Some(before) = known.artifacts.get(identity) else {
            continue;
        };
        if !alike && computed(&manifests[identity].kind) {
            continue;
        }
        let paths: Vec<&String> = files.keys().chain(before.keys()).collect();
        let differs = paths.into_iter().find(|path| {
            let sides = (files.get(*path), before.get(*path));
            !matches!(sides, (Some(now), Some(before)) if now.is(before))
        });
        if let Some(path) = differs {
            changed.push(format!("{} ({identity}): {path}", manifests[identity].name));
        }
    }
    assert!(
        changed.is_empty(),
        "these stages make other files than before, under the same identity. If that is meant, raise the kind's \
         version, or that of the shared module that changed (src/stage/modules.rs); if not, restore the output:\n{}",
        changed.join("\n")
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let processor = processor().to_owned();
        let artifacts = made;
        write_json(
            &table,
            &Table {
                processor,
                artifacts,
            },
        )
        .unwrap();
        return;
    }
    let known = known.artifacts;
    let new: Vec<&String> = made.keys().filter(|it| !known.contains_key(*it)).collect();
    assert!(
        new.is_empty() && known.len() == made.len(),
        "versions or settings changed, and the table does not know these yet: {new:?}; write it again with \
         UPDATE_GOLDEN=1 cargo test --test all golden"
    );
}
