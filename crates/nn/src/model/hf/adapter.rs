//! PEFT adapter folders: `adapter_config.json` and `adapter_model.safetensors`, beside a base that lies elsewhere.
//!
//! Reference: PEFT's `LoraConfig` and `get_peft_model_state_dict`.

mod config;
mod files;
mod save;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::checkpoint::{Checkpoint, Stored, base_name, listed};
use super::config_json;
use super::layout::{self, Part, Slot};
use crate::model::config::{DecoderConfig, Problem, ScoreHead};
use crate::model::lora::{Adapted, AdapterValues, LoraConfig, Site, Targets, WHOLE, named};
use files::{CONFIG, HELD, PREFIX, WEIGHTS};
pub use files::{holds_its_base, is_adapter};
pub use save::{SavedAdapter, save_adapter};

/// What is an adapter's own in its folder.
pub const FILES: [&str; 3] = [CONFIG, WEIGHTS, HELD];

/// Names another base of the adapter in `dir`: a folder, or what a hub calls it with its revision.
///
/// # Errors
/// A configuration that cannot be read or written.
pub fn rebase(dir: &Path, base: &str, revision: Option<&str>) -> Result<()> {
    let mut map = config::read(dir)?;
    map.insert("base_model_name_or_path".into(), base.into());
    map.insert("revision".into(), revision.into());
    rapport_store::write_json(&dir.join(CONFIG), &Value::Object(map))
}

/// The folder of the base of the adapter in `dir`; `dir` itself where it holds none.
///
/// # Errors
/// A base that is not named, not there, or itself an adapter.
pub fn base_of(dir: &Path) -> Result<PathBuf> {
    match is_adapter(dir) {
        true => config::base(dir, &config::read(dir)?),
        false => Ok(dir.to_path_buf()),
    }
}

/// The base of the adapter in `dir` as a hub knows it, `ORG/NAME` or `ORG/NAME@REVISION`, if what it says has that form.
pub fn base_on_hub(dir: &Path) -> Option<String> {
    let map = config::read(dir).ok()?;
    let name = map.get("base_model_name_or_path")?.as_str()?;
    let plain = |part: &str| {
        let letters = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(letters)
    };
    let (owner, own) = name.split_once('/')?;
    if !plain(owner) || !plain(own) {
        return None;
    }
    Some(match map.get("revision").and_then(Value::as_str) {
        Some(revision) => format!("{name}@{revision}"),
        None => name.to_owned(),
    })
}

/// Opens the base of the adapter in `dir`, with the modules that it holds whole in the place of the base's.
///
/// # Errors
/// A key of its configuration that is not computed exactly, by name; a base that cannot be opened; tensors that are
/// missing, unexpected or mis-shaped.
pub(super) fn open(dir: &Path) -> Result<(DecoderConfig, Checkpoint)> {
    let map = config::read(dir)?;
    let mut lora = config::lora(dir, &map)?;
    let base = config::base(dir, &map)?;
    let shape: &Path = if dir.join("config.json").is_file() {
        dir
    } else {
        &base
    };
    let (mut config, notes) = config_json::read_noted(shape)?;
    let mut checkpoint = Checkpoint::open(&base)?;
    checkpoint.notes = notes;
    let (adapters, whole) = tensors(dir, &mut checkpoint)?;
    if config.score.is_none() && map.get("task_type").is_some_and(|task| task == "SEQ_CLS") {
        config = config.with_score(plain_head(dir, &whole)?);
    }
    take_whole(dir, &lora, &mut checkpoint, &config, whole)?;
    checkpoint.untie(&mut config);
    checkpoint.check(&config).with_context(|| {
        format!(
            "{}: the weights of its base {} do not fit config.json",
            dir.display(),
            base.display()
        )
    })?;
    let held: BTreeSet<String> = adapters
        .keys()
        .filter_map(|name| name.strip_suffix(".lora_A.weight"))
        .map(str::to_owned)
        .collect();
    if let Targets::Pattern(_, modules) = &mut lora.targets {
        *modules = held;
    }
    let sites = lora
        .sites(&config)
        .with_context(|| dir.join(CONFIG).display().to_string())?;
    fit(dir, &lora, &sites, &adapters)?;
    checkpoint.notes.push(format!(
        "an adapter of rank {} for {} linear maps, on the base {}{}",
        lora.r,
        sites.len(),
        base.display(),
        match holds_its_base(&base) {
            true => ": the whole weights there are taken without the adapter that lies beside them",
            false => "",
        }
    ));
    checkpoint.hold(adapters);
    checkpoint.adapter = Some(Adapted {
        base_dtype: config::held(dir)?,
        lora,
        base,
    });
    Ok((config, checkpoint))
}

type Tensors = BTreeMap<String, Stored>;

/// The adapter's tensors by module and part, and the modules that it holds whole.
fn tensors(dir: &Path, checkpoint: &mut Checkpoint) -> Result<(Tensors, Tensors)> {
    let path = dir.join(WEIGHTS);
    ensure!(
        path.exists() || !dir.join("adapter_model.bin").exists(),
        "{}: holds adapter_model.bin, which can run code when opened and is not read. Convert it once: in Python, \
         peft's PeftModel.from_pretrained(BASE, DIR).save_pretrained(NEW_DIR)",
        dir.display()
    );
    let (mut adapters, mut whole) = (Tensors::new(), Tensors::new());
    for stored in checkpoint.map_file(&path)? {
        let Some(name) = stored.name.strip_prefix(PREFIX) else {
            bail!(
                "{}: {}: unexpected; PEFT's names begin with {PREFIX}",
                path.display(),
                stored.name
            );
        };
        // PEFT saves the vector itself, and later versions of it may save its module.
        let name = name.replace(".lora_magnitude_vector.weight", ".lora_magnitude_vector");
        let kinds = [".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"];
        if kinds.iter().any(|kind| name.ends_with(kind)) {
            adapters.insert(name, stored);
        } else if name.contains(".lora_") {
            bail!(
                "{}: {}: not computed; adapters of embeddings and biases of adapters are not supported",
                path.display(),
                stored.name
            );
        } else {
            whole.insert(name, stored);
        }
    }
    Ok((adapters, whole))
}

/// The scoring head of an adapter that has no `config.json` to describe it: as transformers takes one by its size.
fn plain_head(dir: &Path, whole: &Tensors) -> Result<ScoreHead> {
    let score = whole
        .iter()
        .find(|(name, _)| base_name(name) == "score.weight");
    let Some((_, stored)) = score else {
        bail!(
            "{}: task_type: SEQ_CLS, but {WEIGHTS} holds no head (score.weight)",
            dir.join(CONFIG).display()
        );
    };
    let outputs = stored.shape.first().copied().unwrap_or_default();
    let problem = match outputs {
        0 | 1 => Problem::Regression,
        _ => Problem::SingleLabelClassification,
    };
    let labels = (0..outputs).map(|at| format!("LABEL_{at}")).collect();
    Ok(ScoreHead::plain(labels, problem))
}

/// Puts modules that an adapter holds whole in the place of its base's.
fn take_whole(
    dir: &Path,
    lora: &LoraConfig,
    checkpoint: &mut Checkpoint,
    config: &DecoderConfig,
    whole: Tensors,
) -> Result<()> {
    let module_of = |name: &str| name.trim_end_matches(".weight").to_owned();
    let holds = |saved: &str| whole.keys().any(|name| named(&module_of(name), saved));
    for saved in &lora.modules_to_save {
        // PEFT names both for every model that scores; one of them is there.
        let other = match saved.as_str() {
            "classifier" => "score",
            "score" => "classifier",
            other => other,
        };
        ensure!(
            holds(saved) || holds(other),
            "{}: modules_to_save: {WEIGHTS} holds no {saved}",
            dir.join(CONFIG).display()
        );
    }
    for (name, stored) in whole {
        let module = module_of(&name);
        ensure!(
            name.ends_with(".weight") && WHOLE.iter().any(|(known, _)| named(&module, known)),
            "{}: {}: unexpected; of modules that are saved whole, embeddings and heads are read",
            dir.join(WEIGHTS).display(),
            stored.name
        );
        let embedding = base_name(layout::embedding(config.family));
        if base_name(&name) == embedding && config.tied && config.score.is_none() {
            // The head stays what it was: the base's embedding.
            checkpoint.keep_head(embedding);
        }
        checkpoint.replace(base_name(&name), stored);
    }
    Ok(())
}

/// Refuses an adapter whose tensors are not those that its configuration asks for.
fn fit(dir: &Path, lora: &LoraConfig, sites: &[Site], adapters: &Tensors) -> Result<()> {
    let (mut expected, mut problems) = (BTreeSet::new(), Vec::new());
    for site in sites {
        for slot in tensors_of(site, lora.use_dora) {
            let name = slot.parts[0].hf_name.clone();
            let shape = slot.stored_shape(&slot.parts[0]);
            match adapters.get(&name) {
                Some(stored) if stored.shape == shape => {}
                Some(stored) => problems.push(format!(
                    "{}: shape {:?}, expected {shape:?}",
                    stored.name, stored.shape
                )),
                None => problems.push(format!("{PREFIX}{name}: missing, expected shape {shape:?}")),
            }
            expected.insert(name);
        }
    }
    for (name, stored) in adapters {
        if !expected.contains(name) {
            problems.push(format!(
                "{}: unexpected: {CONFIG} gives that module no such adapter",
                stored.name
            ));
        }
    }
    ensure!(
        problems.is_empty(),
        "{}: does not fit {CONFIG} and the base:\n{}",
        dir.join(WEIGHTS).display(),
        listed(&problems, "\n")
    );
    Ok(())
}

/// The tensors of one adapter in our layout: `a`, `b` and, under DoRA, the magnitude.
fn tensors_of(site: &Site, dora: bool) -> Vec<Slot> {
    let outputs = site.columns.len();
    let slot = |kind: &str, shape: Vec<usize>, by_head: Option<[usize; 2]>| Slot {
        by_head,
        name: format!("{}.{kind}", site.linear),
        parts: vec![Part {
            hf_name: format!("{}.{kind}", site.module),
            transpose: shape.len() == 2,
            columns: 0..shape.last().copied().unwrap_or_default(),
        }],
        shape,
    };
    // Outputs stand as those of the module do.
    let by_head = site.by_head;
    let mut slots = vec![
        slot("lora_A.weight", vec![site.inputs, site.rank], None),
        slot("lora_B.weight", vec![site.rank, outputs], by_head),
    ];
    if dora {
        slots.push(slot("lora_magnitude_vector", vec![outputs], by_head));
    }
    slots
}

impl Checkpoint {
    /// The values of one of its adapter's.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn adapter_values(&self, site: &Site) -> Result<AdapterValues> {
        let dora = self.adapter.as_ref().is_some_and(|it| it.lora.use_dora);
        let slots = tensors_of(site, dora);
        Ok(AdapterValues {
            a: self.read(&slots[0])?,
            b: self.read(&slots[1])?,
            magnitude: slots.get(2).map(|slot| self.read(slot)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests;
