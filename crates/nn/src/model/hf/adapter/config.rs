//! `adapter_config.json`: what of PEFT's `LoraConfig` is computed exactly; the rest is refused by the key's name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use super::files::{CONFIG, HELD, holds_its_base, is_adapter, read_table};
use crate::model::lora::{BaseDtype, LoraConfig, Targets, WHOLE};

/// Keys that say nothing about what is computed.
const UNREAD: [&str; 13] = [
    "auto_mapping",
    "base_model_name_or_path",
    "fan_in_fan_out",
    "inference_mode",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "loftq_config",
    "layers_pattern",
];

/// The file of a folder.
pub(super) fn read(dir: &Path) -> Result<Map<String, Value>> {
    read_table(&dir.join(CONFIG))
}

/// What the base was held in when the adapter was trained.
pub(super) fn held(dir: &Path) -> Result<BaseDtype> {
    let path = dir.join(HELD);
    if !path.exists() {
        return Ok(BaseDtype::F32);
    }
    let map = read_table(&path)?;
    let named = map.get("base_dtype").and_then(Value::as_str);
    let found = BaseDtype::ALL.iter().find(|(name, _)| Some(*name) == named);
    let found = found.with_context(|| {
        format!(
            "{}: base_dtype: expected f32, bf16, int8 or nf4",
            path.display()
        )
    })?;
    Ok(found.1)
}

/// The base's folder: the adapter's own, where whole weights lie beside it, or the one that it names.
pub(super) fn base(dir: &Path, map: &Map<String, Value>) -> Result<PathBuf> {
    if holds_its_base(dir) {
        return Ok(dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf()));
    }
    let path = dir.join(CONFIG);
    let named = map.get("base_model_name_or_path").and_then(Value::as_str);
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        bail!(
            "{}: base_model_name_or_path: expected the base's folder; write it there",
            path.display()
        );
    };
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let mut places = vec![dir.join(named)];
    if Path::new(named).is_relative() {
        places.push(PathBuf::from(named));
    }
    places.extend(moved(&dir, named));
    let Some(base) = places
        .into_iter()
        .find(|place| place.join("config.json").is_file())
    else {
        bail!(
            "{}: base_model_name_or_path: no model folder at {named:?}; write the path of the base's folder there, or \
             give it as base = PATH of the stage that takes the adapter",
            path.display()
        );
    };
    ensure!(
        !is_adapter(&base) || holds_its_base(&base),
        "{}: base_model_name_or_path: {} is an adapter itself; merge that one first (rapport merge)",
        path.display(),
        base.display()
    );
    Ok(base)
}

/// Where the base lies that is an artifact of the same store as the adapter, wherever both have been moved to.
fn moved(dir: &Path, named: &str) -> Option<PathBuf> {
    let mut parts = Path::new(named).components().rev();
    let (model, artifact) = (parts.next()?, parts.next()?);
    let tail: PathBuf = [artifact, model].iter().collect();
    let found = |parent: &Path| {
        let places = [parent.join(&tail), parent.join(".artifacts").join(&tail)];
        places
            .into_iter()
            .find(|place| place.join("config.json").is_file())
    };
    dir.ancestors().skip(1).take(5).find_map(found)
}

/// Whether a value turns its key off.
fn off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// What the adapters are like.
pub(super) fn lora(dir: &Path, map: &Map<String, Value>) -> Result<LoraConfig> {
    let file = Keys {
        path: dir.join(CONFIG),
        map,
    };
    file.one_of("peft_type", &["LORA"])?;
    if map.get("task_type").is_some_and(|task| !task.is_null()) {
        file.one_of("task_type", &["CAUSAL_LM", "SEQ_CLS"])?;
    }
    if let Some(bias) = map.get("bias")
        && !bias.is_null()
    {
        file.one_of("bias", &["none"])?;
    }
    if !matches!(map.get("init_lora_weights"), None | Some(Value::Bool(_))) {
        // Others change the base too.
        file.one_of("init_lora_weights", &["gaussian", "eva", "orthogonal"])?;
    }
    let lora = LoraConfig {
        r: file.count("r", Some(8))?,
        lora_alpha: file.number("lora_alpha", 8.0)?,
        lora_dropout: file.number("lora_dropout", 0.0)?,
        use_rslora: file.flag("use_rslora")?,
        use_dora: file.flag("use_dora")?,
        targets: match map.get("target_modules") {
            Some(Value::String(all)) if all == "all-linear" => Targets::AllLinear,
            Some(Value::String(pattern)) => Targets::Pattern(pattern.clone(), BTreeSet::new()),
            _ => Targets::Named(file.names("target_modules")?),
        },
        exclude_modules: match map.get("exclude_modules") {
            None | Some(Value::Null) => Vec::new(),
            _ => file.names("exclude_modules")?,
        },
        rank_pattern: file.pattern("rank_pattern", |value| {
            usize::try_from(value.as_u64()?)
                .ok()
                .filter(|rank| *rank > 0)
        })?,
        alpha_pattern: file.pattern("alpha_pattern", Value::as_f64)?,
        layers_to_transform: match map.get("layers_to_transform") {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) if items.is_empty() => None,
            Some(value) => {
                file.off("layers_pattern")?;
                let one = std::slice::from_ref(value);
                let items = value.as_array().map_or(one, Vec::as_slice);
                let layers = items.iter().map(|it| usize::try_from(it.as_u64()?).ok());
                Some(layers.collect::<Option<_>>().with_context(|| {
                    file.wrong("layers_to_transform", "a block's number or a list of them")
                })?)
            }
        },
        modules_to_save: match map.get("modules_to_save") {
            None | Some(Value::Null) => Vec::new(),
            _ => file.names("modules_to_save")?,
        },
    };
    ensure!(
        (0.0..1.0).contains(&lora.lora_dropout),
        file.wrong("lora_dropout", "a number from 0 to below 1")
    );
    let known = |name: &String| WHOLE.iter().any(|(known, _)| known == name);
    if let Some(other) = lora.modules_to_save.iter().find(|name| !known(name)) {
        bail!(
            "{}: modules_to_save: {other:?} is not supported; embeddings and heads are",
            file.path.display()
        );
    }
    const READ: [&str; 14] = [
        "r",
        "lora_alpha",
        "lora_dropout",
        "use_rslora",
        "use_dora",
        "target_modules",
        "exclude_modules",
        "rank_pattern",
        "alpha_pattern",
        "layers_to_transform",
        "modules_to_save",
        "bias",
        "init_lora_weights",
        "peft_type",
    ];
    for key in map.keys() {
        if !READ.contains(&key.as_str()) && !UNREAD.contains(&key.as_str()) {
            file.off(key)?;
        }
    }
    Ok(lora)
}

/// A file's keys, for messages that name them.
struct Keys<'a> {
    path: PathBuf,
    map: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn wrong(&self, key: &str, expected: &str) -> String {
        let found = self.map.get(key).map_or("nothing".into(), Value::to_string);
        let shown: String = found.chars().take(80).collect();
        format!(
            "{}: {key}: expected {expected}, found {shown}",
            self.path.display()
        )
    }

    /// Refuses a key that would change what is computed in a way that is not.
    fn off(&self, key: &str) -> Result<()> {
        let value = self.map.get(key).unwrap_or(&Value::Null);
        ensure!(
            off(value),
            "{}: {key} = {value}: not computed here; what such an adapter does would not be exact. Merge it in \
             Python (peft's merge_and_unload) and take the merged model",
            self.path.display()
        );
        Ok(())
    }

    fn one_of(&self, key: &str, known: &[&str]) -> Result<()> {
        let value = self.map.get(key).and_then(Value::as_str);
        ensure!(
            value.is_some_and(|value| known.contains(&value)),
            self.wrong(
                key,
                &format!("{} (others are not computed exactly)", known.join(" or "))
            )
        );
        Ok(())
    }

    fn count(&self, key: &str, default: Option<usize>) -> Result<usize> {
        const MOST: u64 = 1 << 20;
        match (self.map.get(key), default) {
            (None, Some(default)) => Ok(default),
            (value, _) => {
                let found = value
                    .and_then(Value::as_u64)
                    .filter(|it| (1..=MOST).contains(it));
                Ok(
                    found.with_context(|| self.wrong(key, "a whole number of at least 1"))?
                        as usize,
                )
            }
        }
    }

    fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.map.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().with_context(|| self.wrong(key, "a number")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(value) => value
                .as_bool()
                .with_context(|| self.wrong(key, "true or false")),
        }
    }

    fn names(&self, key: &str) -> Result<Vec<String>> {
        let items = self.map.get(key).and_then(Value::as_array);
        let names = items.and_then(|items| {
            let name = |item: &Value| item.as_str().map(str::to_owned);
            items.iter().map(name).collect::<Option<Vec<_>>>()
        });
        names.with_context(|| self.wrong(key, "a list of modules' names"))
    }

    /// A table from names, plain ones, to values.
    fn pattern<T>(
        &self,
        key: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<(String, T)>> {
        let map = match self.map.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(value) => value.as_object(),
        };
        let plain = |name: &str| {
            let name = name.strip_prefix('^').unwrap_or(name);
            name.chars()
                .all(|it| it.is_ascii_alphanumeric() || "._".contains(it))
        };
        let entries = map.into_iter().flatten().map(|(name, value)| {
            read(value)
                .filter(|_| plain(name))
                .map(|value| (name.clone(), value))
        });
        let entries = entries
            .collect::<Option<Vec<_>>>()
            .filter(|_| map.is_some());
        entries.with_context(|| {
            self.wrong(
                key,
                "a table of plain modules' names (no other regular expressions) to numbers",
            )
        })
    }
}
