//! A stage's identity: the hash of everything that determines its artifact, and of nothing else.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use super::PlannedStage;
use crate::store::{Hash, OrBadInput, hash_json, hash_path};

/// The identity of `stage` in the run of `seed` on `backend`, with its inputs' identities by stage
/// name.
///
/// The kind with its version, those of the shared modules it computes with, and all settings count; the names of stages, files and recipes do
/// not: in their place stand the identities of the inputs, the content of the files and the commits of what lies on a hub. The seed
/// counts where the stage runs once per seed, the backend where the result depends on it.
///
/// # Errors
/// When an input's identity is not among `inputs`, or a file cannot be read.
pub fn identity(
    stage: &PlannedStage,
    seed: u64,
    backend: &str,
    inputs: &BTreeMap<String, Hash>,
) -> Result<Hash> {
    let mut settings = stage.settings.clone();
    for link in &stage.refs {
        let hash = inputs.get(&link.to.name).ok_or_else(|| {
            anyhow!(
                "{} refers to {}, whose identity is not known yet",
                stage.name,
                link.to.name
            )
        })?;
        put(&mut settings, &link.key, json!({"artifact": hash}));
    }
    for link in &stage.paths {
        let content = hash_path(&link.to)
            .with_context(|| format!("{}.{}", stage.name, link.key.join(".")))
            .or_bad_input()?;
        put(&mut settings, &link.key, json!({"content": content}));
    }
    for link in &stage.on_hub {
        let key = link.key.join(".");
        let pinned = link.to.pinned.as_ref().ok_or_else(|| {
            anyhow!(
                "{}.{key}: it was not asked what {} is",
                stage.name,
                link.to.name
            )
        })?;
        put(&mut settings, &link.key, json!({"hub": pinned.name}));
    }
    Ok(hash_json(&json!({
        "kind": stage.kind,
        "version": stage.version,
        "modules": stage.modules,
        "settings": settings,
        "seed": stage.per_seed.then_some(seed),
        "backend": stage.uses_backend.then_some(backend),
    })))
}

/// Replaces the value at a path of keys and indices.
fn put(root: &mut Value, path: &[String], value: Value) {
    let pointer: String = path.iter().flat_map(|segment| ["/", segment]).collect();
    if let Some(place) = root.pointer_mut(&pointer) {
        *place = value;
    }
}
