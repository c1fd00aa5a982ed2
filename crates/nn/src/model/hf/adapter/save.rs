//! Writing an adapter's folder, as PEFT's `save_pretrained` does.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rapport_store as store;
use serde_json::{Value, json};

use super::files::{CONFIG, HELD, PREFIX, WEIGHTS};
use super::tensors_of;
use crate::model::config::DecoderConfig;
use crate::model::hf::config_json;
use crate::model::hf::layout::slots;
use crate::model::hf::save::stored_values;
use crate::model::hf::tensors::{Precision, write_streamed};
use crate::model::lora::{BaseDtype, LoraConfig, Targets};

/// An adapter that is to be written.
pub struct SavedAdapter<'a> {
    pub lora: &'a LoraConfig,
    /// The base's folder, as it is to be found again.
    pub base: &'a Path,
    pub base_dtype: BaseDtype,
    pub precision: Precision,
    pub generation: &'a Value,
}

/// Writes an adapter's folder: its weights, `adapter_config.json`, and the `config.json` and `generation_config.json` of
/// the model that it makes of its base. `values` gives a parameter of ours by name.
///
/// # Errors
/// A parameter that is missing or has another size, or a disk that refuses.
pub fn save_adapter(
    dir: &Path,
    config: &DecoderConfig,
    adapter: &SavedAdapter<'_>,
    mut values: impl FnMut(&str) -> Option<Vec<f32>>,
) -> Result<()> {
    let SavedAdapter { lora, base, .. } = *adapter;
    fs::create_dir_all(dir).with_context(|| format!("{}: cannot be created", dir.display()))?;
    // Each tensor's name there and shape, and its parameter here and how that is stored.
    let (mut heads, mut ours) = (Vec::new(), Vec::new());
    let mut before: Option<(String, usize)> = None;
    for site in lora.sites(config)? {
        let index = match &before {
            Some((linear, index)) if *linear == site.linear => index + 1,
            _ => 0,
        };
        for (slot, part) in
            tensors_of(&site, lora.use_dora)
                .into_iter()
                .zip(["a", "b", "magnitude"])
        {
            let stored = &slot.parts[0];
            heads.push((
                format!("{PREFIX}{}", stored.hf_name),
                slot.stored_shape(stored),
            ));
            ours.push((format!("{}.adapters.{index}.{part}", site.linear), slot));
        }
        before = Some((site.linear, index));
    }
    let whole = lora.whole();
    for slot in slots(config) {
        if whole.contains(slot.name.as_str()) {
            heads.push((
                format!("{PREFIX}{}", slot.parts[0].hf_name),
                slot.shape.clone(),
            ));
            ours.push((slot.name.clone(), slot));
        }
    }
    write_streamed(&dir.join(WEIGHTS), &heads, adapter.precision, |sink| {
        for ((name, slot), (_, shape)) in ours.iter().zip(&heads) {
            let found = values(name).with_context(|| format!("no weights for {name}"))?;
            ensure!(
                found.len() == shape.iter().product::<usize>(),
                "{name}: {} values for shape {shape:?}",
                found.len()
            );
            match stored_values(slot, &slot.parts[0], &found) {
                Some(found) => sink.put(&found)?,
                None => sink.put(&found)?,
            }
        }
        Ok(())
    })?;
    if adapter.base_dtype != BaseDtype::F32 {
        store::write_json(
            &dir.join(HELD),
            &json!({"base_dtype": adapter.base_dtype.name()}),
        )?;
    }
    store::write_json(&dir.join("generation_config.json"), adapter.generation)?;
    let shape = config_json::to_json(config, adapter.precision.name());
    store::write_json(&dir.join("config.json"), &shape)?;
    store::write_json(&dir.join(CONFIG), &to_json(config, lora, base))
}

fn to_json(config: &DecoderConfig, lora: &LoraConfig, base: &Path) -> Value {
    let targets = match &lora.targets {
        // Names say it to every reader alike.
        Targets::AllLinear => json!(LoraConfig::kinds(config)),
        Targets::Named(names) => json!(names),
        Targets::Pattern(pattern, _) => json!(pattern),
    };
    let some = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
    let pattern = |entries: Vec<(String, Value)>| Value::Object(entries.into_iter().collect());
    let alpha = |alpha: f64| match alpha.fract() == 0.0 && alpha.abs() < 1e15 {
        true => json!(alpha as i64),
        false => json!(alpha),
    };
    let ranks = lora
        .rank_pattern
        .iter()
        .map(|(name, rank)| (name.clone(), json!(rank)));
    let alphas = lora
        .alpha_pattern
        .iter()
        .map(|(name, it)| (name.clone(), alpha(*it)));
    json!({
        "alpha_pattern": pattern(alphas.collect()),
        "auto_mapping": null,
        "base_model_name_or_path": base.to_string_lossy(),
        "bias": "none",
        "exclude_modules": some(&lora.exclude_modules),
        "fan_in_fan_out": !config.family.traits().names.out_in,
        "inference_mode": true,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": lora.layers_to_transform,
        "lora_alpha": alpha(lora.lora_alpha),
        "lora_dropout": lora.lora_dropout,
        "modules_to_save": some(&lora.modules_to_save),
        "peft_type": "LORA",
        "r": lora.r,
        "rank_pattern": pattern(ranks.collect()),
        "revision": null,
        "target_modules": targets,
        "task_type": if config.score.is_some() { "SEQ_CLS" } else { "CAUSAL_LM" },
        "use_dora": lora.use_dora,
        "use_rslora": lora.use_rslora,
    })
}
