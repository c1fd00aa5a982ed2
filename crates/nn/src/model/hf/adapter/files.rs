//! What lies in an adapter's folder.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::model::hf::checkpoint::{INDEX, SINGLE};

/// What PEFT names the description of an adapter, and its weights.
pub(super) const CONFIG: &str = "adapter_config.json";
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";
/// What its base was held in when it was trained; PEFT has no such file.
pub(super) const HELD: &str = "base_dtype.json";

/// What PEFT puts before the names of a model's modules.
pub(super) const PREFIX: &str = "base_model.model.";

/// Whether the folder is an adapter's.
pub fn is_adapter(dir: &Path) -> bool {
    dir.join(CONFIG).exists()
}

/// Whether the folder holds an adapter and the whole weights that it is applied to, as transformers reads such a folder,
/// whatever base the adapter names.
pub fn holds_its_base(dir: &Path) -> bool {
    is_adapter(dir) && [SINGLE, INDEX].iter().any(|name| dir.join(name).is_file())
}

/// Reads a JSON file of the folder that holds a table.
pub(super) fn read_table(path: &Path) -> Result<serde_json::Map<String, Value>> {
    const LIMIT: u64 = 1 << 24;
    let text = rapport_store::read_regular(path, LIMIT)?;
    let value: Value = serde_json::from_slice(&text)
        .with_context(|| format!("{}: not valid JSON", path.display()))?;
    match value {
        Value::Object(map) => Ok(map),
        _ => bail!("{}: expected a table", path.display()),
    }
}
