//! `generation_config.json`: what ends a reply, what sampling takes from it, and what is written anew.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};

use crate::data::Tokenizer;
use crate::generate::Sampling;
use crate::model::DecoderConfig;
use crate::stage::settings::sampling::Asked;
use crate::store::{BadInput, read_regular};

const FILE: &str = "generation_config.json";

/// Bytes of such a file; real ones have some hundreds.
const LIMIT: u64 = 1 << 24;

impl Asked {
    /// How replies of the model in `dir`, which is like `config`, are drawn, and a remark where its folder decides
    /// some of it.
    ///
    /// # Errors
    /// A file that is damaged, or a value in it that sampling does not take, by key.
    pub fn of(
        &self,
        dir: &Path,
        (tokenizer, config): (&Tokenizer, &DecoderConfig),
    ) -> Result<(Sampling, Option<String>)> {
        let mut folder = Folder {
            dir,
            map: read(dir)?.unwrap_or_default(),
            used: Vec::new(),
        };
        let ours = Sampling::default();
        // transformers draws at random only where do_sample says so; a folder that says it does not is greedy.
        let greedy = folder.map.get("do_sample") == Some(&json!(false));
        let temperature = match (self.temperature, greedy) {
            (None, true) => {
                folder.used.push("do_sample = false".to_owned());
                0.0
            }
            (asked, _) => folder.float("temperature", asked, ours.temperature, 0.0..=10.0)?,
        };
        let above_0 = f64::MIN_POSITIVE;
        let sampling = Sampling {
            temperature,
            top_k: folder.count("top_k", self.top_k, ours.top_k)?,
            top_p: folder.float("top_p", self.top_p, ours.top_p, above_0..=1.0)?,
            repetition_penalty: folder.float(
                "repetition_penalty",
                self.repetition_penalty,
                ours.repetition_penalty,
                above_0..=10.0,
            )?,
            min_new_tokens: folder.count(
                "min_new_tokens",
                self.min_new_tokens,
                ours.min_new_tokens,
            )?,
            max_new_tokens: folder.count(
                "max_new_tokens",
                self.max_new_tokens,
                ours.max_new_tokens,
            )?,
            stop: stops(dir, (tokenizer, config))?,
        };
        let (least, most) = (sampling.min_new_tokens, sampling.max_new_tokens);
        if least > most || most == 0 {
            bail!(BadInput(format!(
                "{}: min_new_tokens ({least}) and max_new_tokens ({most}), of the recipe and {FILE} together, leave no \
                 reply; set both in the recipe",
                dir.display()
            )));
        }
        let note = (!folder.used.is_empty()).then(|| {
            format!(
                "sampled with {}, of the model's {FILE}; a key of the recipe goes before it",
                folder.used.join(", ")
            )
        });
        Ok((sampling, note))
    }
}

/// The file of a model folder, and what of it was taken.
struct Folder<'a> {
    dir: &'a Path,
    map: Map<String, Value>,
    used: Vec<String>,
}

impl Folder<'_> {
    /// A number: the recipe's, the file's within `range`, or ours.
    fn float(
        &mut self,
        key: &str,
        asked: Option<f64>,
        ours: f64,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<f64> {
        let words = format!("a number from {} to {}", range.start(), range.end());
        let within = |value: &Value| value.as_f64().filter(|number| range.contains(number));
        self.value(key, asked, ours, &words, within)
    }

    /// A count: the recipe's, the file's, or ours.
    fn count(&mut self, key: &str, asked: Option<usize>, ours: usize) -> Result<usize> {
        let whole = |value: &Value| usize::try_from(value.as_u64()?).ok();
        self.value(key, asked, ours, "a whole number", whole)
    }

    fn value<T: PartialEq + Copy>(
        &mut self,
        key: &str,
        asked: Option<T>,
        ours: T,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let given = self.map.get(key).filter(|value| !value.is_null());
        let (None, Some(given)) = (asked, given) else {
            return Ok(asked.unwrap_or(ours));
        };
        let Some(value) = read(given) else {
            bail!(BadInput(format!(
                "{}: {key}: expected {expected}, not {given}; correct it, or set {key} in the recipe",
                self.dir.join(FILE).display()
            )));
        };
        if value != ours {
            self.used.push(format!("{key} = {given}"));
        }
        Ok(value)
    }
}

/// The tokens that end a reply of the model in `dir`: the tokenizer's EOS, and every one that its
/// `generation_config.json` names or, where that names none, its `config.json`.
///
/// # Errors
/// A file that is damaged.
pub fn stops(dir: &Path, (tokenizer, config): (&Tokenizer, &DecoderConfig)) -> Result<Vec<u32>> {
    let mut stops = vec![tokenizer.eos()];
    let mut named = ids(read(dir)?.as_ref());
    if named.is_empty() {
        named = config.ends();
    }
    for id in named {
        // One that the model has no row for is never drawn.
        if !stops.contains(&id) && (id as usize) < config.vocab_size {
            stops.push(id);
        }
    }
    Ok(stops)
}

/// Brings the special tokens of a model that has been trained from `like` to those of its tokenizer, as
/// transformers' `Trainer` and so TRL does: the tokenizer's EOS becomes the configuration's, and the first of the
/// list in `generation_config.json`, which keeps the others and all its other fields. What is returned is that file.
///
/// # Errors
/// A file of `like` that is damaged.
pub fn align(config: &mut DecoderConfig, like: &Path, tokenizer: &Tokenizer) -> Result<Value> {
    let read = read(like)?;
    let mut generation = match read {
        Some(map) => Value::Object(map),
        None => crate::model::hf::config_json::generation_json(config),
    };
    if config.score.is_some() {
        return Ok(generation);
    }
    let eos = tokenizer.eos();
    let declared = object(&like.join("config.json"))?.unwrap_or_default();
    let listed = declared.get("eos_token_id").is_some_and(Value::is_array);
    let own = config.ends();
    let ends = ids(generation.as_object());
    if !own.contains(&eos) || !ends.contains(&eos) {
        config.eos = Some(eos);
        config.other_eos = match listed {
            true => own.into_iter().filter(|id| *id != eos).collect(),
            false => Vec::new(),
        };
        let others = ends.into_iter().filter(|id| *id != eos);
        let all: Vec<u32> = std::iter::once(eos).chain(others).collect();
        generation["eos_token_id"] = json!(all);
    }
    for (key, token, own) in [
        ("bos_token_id", tokenizer.bos(), &mut config.bos),
        ("pad_token_id", tokenizer.pad(), &mut config.pad),
    ] {
        if let Some(token) = token {
            *own = Some(token);
            generation[key] = json!(token);
        }
    }
    Ok(generation)
}

/// The ids that end a text.
fn ids(map: Option<&Map<String, Value>>) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match map.and_then(|map| map.get("eos_token_id")) {
        Some(Value::Array(all)) => all.iter().filter_map(id).collect(),
        Some(one) => id(one).into_iter().collect(),
        None => Vec::new(),
    }
}

fn read(dir: &Path) -> Result<Option<Map<String, Value>>> {
    object(&dir.join(FILE))
}

/// A JSON file's keys; nothing where the file is not there.
fn object(path: &Path) -> Result<Option<Map<String, Value>>> {
    if !path.exists() {
        return Ok(None);
    }
    let value = serde_json::from_slice(&read_regular(path, LIMIT)?).map_err(|error| {
        anyhow!(BadInput(format!(
            "{}: not valid JSON: {error}",
            path.display()
        )))
    })?;
    match value {
        Value::Object(map) => Ok(Some(map)),
        _ => bail!(BadInput(format!(
            "{}: expected a JSON object",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests;
