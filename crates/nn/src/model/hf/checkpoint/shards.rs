//! Which files of a folder hold its weights.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use anyhow::{Context, Result, anyhow, bail};
use rapport_store::read_regular;
use serde_json::Value;

pub(in super::super) const SINGLE: &str = "model.safetensors";
pub(in super::super) const INDEX: &str = "model.safetensors.index.json";

/// Bytes of an index; of a model with a million tensors it has fewer.
const INDEX_LIMIT: u64 = 1 << 28;

/// The weight map of an index: tensor name to file name within the folder.
pub(super) fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = read_regular(path, INDEX_LIMIT)?;
    let value: Value = serde_json::from_slice(&text)
        .with_context(|| format!("{}: not valid JSON", path.display()))?;
    let Some(map) = value.get("weight_map").and_then(Value::as_object) else {
        bail!(
            "{}: weight_map: expected a table of tensor names to file names",
            path.display()
        );
    };
    let entry = |(name, file): (&String, &Value)| {
        let file = file.as_str().unwrap_or_default();
        let mut parts = Path::new(file).components();
        // One plain component: an index must not make us open files elsewhere.
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(_)), None) => Ok((name.clone(), file.to_string())),
            _ => Err(anyhow!(
                "{}: weight_map.{name}: expected the name of a file in the same folder, not {file:?}",
                path.display()
            )),
        }
    };
    map.iter().map(entry).collect()
}

/// Why a folder without safetensors cannot be opened, and what to do about it.
pub(super) fn without_safetensors(dir: &Path) -> String {
    let pickled = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
    if !dir.is_dir() {
        "no such folder; expected a model folder with config.json and model.safetensors".into()
    } else if pickled.iter().any(|name| dir.join(name).is_file()) {
        "holds pytorch_model.bin, which can run code when opened and is not read. Convert it once: in \
         Python, transformers' AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR, \
         safe_serialization=True)"
            .into()
    } else {
        format!("holds neither {SINGLE} nor {INDEX}")
    }
}
