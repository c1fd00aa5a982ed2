//! Adapters' folders (PEFT) and the bases that they name: here, or on a hub.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::hub::{self, Wanted};
use crate::model::hf::adapter::{FILES, base_on_hub, is_adapter, rebase};
use crate::model::hf::{self, config_json};
use crate::stage::artifact::card;
use crate::store::{Stop, say, write_json};

/// What model an adapter and its base make.
const SHAPE: &str = "config.json";
const GENERATION: &str = "generation_config.json";

/// What an adapter's folder names as its base, in the form of the key `base`.
pub fn named_base(path: &Path) -> Result<String> {
    match (hf::base_of(path), base_on_hub(path)) {
        (Ok(base), _) => Ok(base.to_string_lossy().into_owned()),
        (Err(_), Some(name)) => Ok(format!("hub:{name}")),
        (Err(error), None) => Err(error),
    }
}

/// Makes a folder of an adapter's files and, where it has none of its own, its base's tokenizer, template and
/// configurations: what opens a model opens it too.
pub fn together(path: &Path, base: &Path, into: &Path) -> Result<()> {
    const TOKENIZER: [&str; 9] = [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "tokenizer.model",
        "spiece.model",
        "chat_template.jinja",
    ];
    let copy = |from: &Path, name: &str| -> Result<()> {
        let file = from.join(name);
        if file.is_file() {
            std::fs::copy(&file, into.join(name))
                .with_context(|| format!("cannot copy {}", file.display()))?;
        }
        Ok(())
    };
    std::fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let own = TOKENIZER.iter().any(|name| path.join(name).is_file());
    for name in TOKENIZER {
        copy(if own { path } else { base }, name)?;
    }
    let own = path.join(GENERATION).is_file();
    copy(if own { path } else { base }, GENERATION)?;
    copy(path, SHAPE)?;
    for name in FILES {
        copy(path, name)?;
    }
    rebase(into, &base.to_string_lossy(), None)?;
    if !into.join(SHAPE).is_file() {
        let (config, checkpoint) = hf::open(into)?;
        let shape = config_json::to_json(&config, checkpoint.precision().name());
        write_json(&into.join(SHAPE), &shape)?;
    }
    Ok(())
}

/// An adapter that does not say what model it makes, or whose base is on a hub, beside that base, in a folder that is there
/// as long as what is returned; nothing where the folder is no such adapter's.
///
/// # Errors
/// A base that the hub does not give.
pub fn fetched(path: &Path, stop: &Stop) -> Result<Option<TempDir>> {
    if !is_adapter(path) {
        return Ok(None);
    }
    let base = match (hf::base_of(path), base_on_hub(path)) {
        (Ok(_), _) if path.join(SHAPE).is_file() => return Ok(None),
        (Ok(base), _) => base,
        (Err(_), Some(name)) => hub::local(Path::new(&format!("hub:{name}")), Wanted::Model, stop)?,
        // Whoever opens it says what is wrong.
        (Err(_), None) => return Ok(None),
    };
    let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
    together(path, &base, dir.path())?;
    Ok(Some(dir))
}

/// A copy of an adapter's folder as others can open it: its base by its name on the hub that it came from. Nothing where the
/// folder is no adapter's, or names its base so already.
///
/// # Errors
/// A folder that cannot be copied.
pub fn for_others(dir: &Path) -> Result<Option<TempDir>> {
    if !is_adapter(dir) {
        return Ok(None);
    }
    let Ok(base) = hf::base_of(dir) else {
        return Ok(None);
    };
    let Some(card::Base { repo, commit }) =
        base.canonicalize().ok().and_then(|it| card::in_cache(&it))
    else {
        say(&format!(
            "the adapter names its base as {}, which nobody else has: push that too, and write its name on the hub into \
             adapter_config.json (base_model_name_or_path)",
            base.display()
        ));
        return Ok(None);
    };
    let copy = tempfile::tempdir().context("cannot make a temporary folder")?;
    let context = || format!("cannot copy {}", dir.display());
    for entry in fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        if entry.path().is_file() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).with_context(context)?;
        }
    }
    rebase(copy.path(), &repo, Some(&commit))?;
    Ok(Some(copy))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn others_are_told_the_base_as_the_hub_calls_it() {
        let root = tempfile::tempdir().unwrap();
        let commit = "0b".repeat(20);
        let base = root
            .path()
            .join("models--org--name/snapshots")
            .join(&commit);
        let dir = root.path().join("adapter");
        fs::create_dir_all(&base).unwrap();
        fs::create_dir_all(&dir).unwrap();
        fs::write(base.join("config.json"), "{}").unwrap();
        fs::write(dir.join("adapter_model.safetensors"), "weights").unwrap();
        let of = |name: &str| json!({"base_model_name_or_path": name, "r": 3});
        let config = dir.join("adapter_config.json");
        write_json(&config, &of(&base.to_string_lossy())).unwrap();
        let copy = for_others(&dir).unwrap().unwrap();
        let read = |name: &str| fs::read_to_string(copy.path().join(name)).unwrap();
        let told: Value = serde_json::from_str(&read("adapter_config.json")).unwrap();
        assert_eq!(told["base_model_name_or_path"], "org/name");
        assert_eq!((&told["revision"], &told["r"]), (&json!(commit), &json!(3)));
        assert_eq!(read("adapter_model.safetensors"), "weights");
        assert_eq!(
            named_base(copy.path()).unwrap(),
            format!("hub:org/name@{commit}")
        );
        // One that names a folder of this machine alone goes as it is, and so does one that needs nothing.
        let here = root.path().join("here");
        fs::create_dir(&here).unwrap();
        fs::write(here.join("config.json"), "{}").unwrap();
        write_json(&config, &of(&here.to_string_lossy())).unwrap();
        assert!(for_others(&dir).unwrap().is_none());
        assert!(for_others(copy.path()).unwrap().is_none());
        assert!(for_others(&base).unwrap().is_none());
    }
}
