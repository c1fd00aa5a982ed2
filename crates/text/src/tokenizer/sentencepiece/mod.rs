//! A SentencePiece model that lies in a folder without `tokenizer.json`, read as transformers 5.24 reads it: by the
//! class that its `AutoTokenizer` takes, of which each follows the model in its own way.
//!
//! References: SentencePiece (Kudo and Richardson, arXiv 1808.06226); `convert_slow_tokenizer.py` and
//! `tokenization_utils_tokenizers.py` of transformers.

mod build;
mod class;
mod proto;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer};

use super::declared::{Implied, declared_names, object};
use class::Class;
use proto::{Algorithm, Kind, Model};

/// Bytes of a model's file: the largest that is published has a third.
const LIMIT: usize = 1 << 24;

/// The names of its file.
const MODEL: &str = "tokenizer.model";
const SPIECE: &str = "spiece.model";

/// What a SentencePiece model and its class say beside the tokenizer itself.
pub(super) struct Read {
    pub(super) implied: Implied,
    /// The class of transformers that reads it so.
    pub(super) class: &'static str,
    /// No file names a class or a kind of model that has one.
    pub(super) unnamed: bool,
    /// What people should know.
    pub(super) notes: Vec<String>,
    ends: Ends,
}

/// What goes around a text.
enum Ends {
    /// BOS and EOS, where they are asked for.
    Asked {
        bos: bool,
        eos: bool,
    },
    Eos,
}

/// The model's file in a folder without `tokenizer.json`, under the names that transformers knows; nothing where there
/// is none.
pub(super) fn find(dir: &Path) -> Option<PathBuf> {
    [MODEL, SPIECE]
        .map(|name| dir.join(name))
        .into_iter()
        .find(|path| path.exists())
}

/// What transformers looks for such a file under.
pub(super) fn name(path: &Path) -> &'static str {
    match path.ends_with(SPIECE) {
        true => SPIECE,
        false => MODEL,
    }
}

/// Reads the model at `path`, which holds `bytes`, with the configurations in `dir`: a tokenizer before what the files
/// around it declare is added.
///
/// # Errors
/// A damaged file, or one that no class of transformers follows exactly.
pub(super) fn read(path: &Path, bytes: &[u8], dir: &Path) -> Result<(Tokenizer, Read)> {
    ensure!(
        bytes.len() <= LIMIT,
        "{}: {} bytes, where {LIMIT} are the most that are read",
        path.display(),
        bytes.len()
    );
    let config = object(dir, "tokenizer_config.json")?;
    let model_config = object(dir, "config.json")?;
    let class = Class::of(&config, &model_config, dir)?;
    let unnamed = model_config.is_empty() && !config.contains_key("tokenizer_class");
    ensure!(
        name(path) != SPIECE || class == Class::T5,
        "{}: transformers reads spiece.model with T5Tokenizer only, and takes {} for this folder; name T5Tokenizer as \
         \"tokenizer_class\" in tokenizer_config.json, or call the file tokenizer.model",
        path.display(),
        class.name()
    );
    let model = Model::read(bytes)
        .with_context(|| format!("{}: damaged, or no SentencePiece model", path.display()))?;
    build(&model, class, config, dir)
        .map(|(inner, read)| (inner, Read { unnamed, ..read }))
        .with_context(|| path.display().to_string())
}

fn build(
    model: &Model,
    class: Class,
    config: Map<String, Value>,
    dir: &Path,
) -> Result<(Tokenizer, Read)> {
    let flag = |key: &str| config.get(key).is_some_and(build::truthy);
    let added = model.pieces.iter().filter_map(|piece| {
        let special = match piece.kind {
            Kind::Control => true,
            // TokenizersBackend splits them off by itself.
            Kind::UserDefined if class != Class::Backend => false,
            _ => return None,
        };
        let token = AddedToken::from(piece.text.clone(), special);
        Some(token.normalized(false))
    });
    let mut added: Vec<AddedToken> = added.collect();
    let mut notes = Vec::new();
    let mut defaults: Vec<(&'static str, String)> = Vec::new();
    let mut raw = false;
    let inner = match class {
        Class::Backend => {
            let names = declared_names(dir, &config)?;
            raw = model.add_dummy_prefix;
            let named = [
                ("bos_token", &model.bos),
                ("eos_token", &model.eos),
                ("unk_token", &model.unk),
            ];
            for (key, (id, name)) in named {
                if *id >= 0 {
                    defaults.push((key, name.clone()));
                }
            }
            build::backend(model, &config, &names)?
        }
        Class::Llama => {
            if model.algorithm != Algorithm::Bpe {
                notes.push(
                    "LlamaTokenizer reads this Unigram model as a BPE, as transformers does, and SentencePiece \
                     itself does not: many texts have other tokens; name TokenizersBackend as \"tokenizer_class\" in \
                     tokenizer_config.json to follow the model"
                        .to_owned(),
                );
            }
            let named = [
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
            ];
            defaults.extend(named.map(|(key, name)| (key, name.to_owned())));
            build::llama(model, &config)?
        }
        Class::T5 => {
            let extra = extra_ids(&config)?;
            let listed = added.iter().filter(|it| it.content.contains("<extra_id_"));
            match listed.count() {
                0 => added.extend((0..extra).map(|n| AddedToken::from(build::extra_id(n), true))),
                own => ensure!(
                    extra == 0 || own == extra,
                    "it has {own} tokens <extra_id_N>, where extra_ids of tokenizer_config.json is {extra}"
                ),
            }
            let unknown = model.pieces.get(2).map(|piece| piece.text.as_str());
            if unknown != Some(model.unk.1.as_str()) || model.byte_fallback {
                notes.push(format!(
                    "T5Tokenizer makes what the model does not know token 2, {:?}, as transformers 5 does, where \
                     SentencePiece itself {}",
                    unknown.unwrap_or("<extra_id>"),
                    match model.byte_fallback {
                        true => "spells it in bytes".to_owned(),
                        false => format!("makes it token {}, {:?}", model.unk.0, model.unk.1),
                    }
                ));
            }
            let named = [
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("pad_token", "<pad>"),
            ];
            defaults.extend(named.map(|(key, name)| (key, name.to_owned())));
            build::t5(model, extra)?
        }
    };
    let ends = match class {
        Class::T5 => Ends::Eos,
        _ => Ends::Asked {
            bos: flag("add_bos_token"),
            eos: flag("add_eos_token"),
        },
    };
    let read = Read {
        implied: Implied {
            by: class.name(),
            defaults,
            added,
            raw,
        },
        class: class.name(),
        unnamed: false,
        notes,
        ends,
    };
    Ok((inner, read))
}

/// How many tokens `<extra_id_N>` T5's vocabulary has.
fn extra_ids(config: &Map<String, Value>) -> Result<usize> {
    const MOST: u64 = 1 << 16;
    match config.get("extra_ids") {
        None => Ok(100),
        Some(value) => match value.as_u64() {
            Some(extra) if extra <= MOST => Ok(extra as usize),
            _ => bail!("tokenizer_config.json: extra_ids is {value}, not a number up to {MOST}"),
        },
    }
}

impl Read {
    /// What goes around a text, once the special tokens are known by name and id.
    pub(super) fn post_processor(
        &self,
        bos: Option<&(u32, String)>,
        eos: &(u32, String),
    ) -> Result<PostProcessorWrapper> {
        let (front, back, back_name) = match self.ends {
            Ends::Asked {
                bos: front,
                eos: back,
            } => (front.then_some(bos).flatten(), back, eos.1.as_str()),
            Ends::Eos => (None, true, "</s>"),
        };
        let special =
            |name: &str, kind: u32| json!({"SpecialToken": {"id": name, "type_id": kind}});
        let text = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
        let around = |id: &str, kind: u32| -> Vec<Value> {
            let front = front.map(|(_, name)| special(name, kind));
            let back = back.then(|| special(back_name, kind));
            front
                .into_iter()
                .chain([text(id, kind)])
                .chain(back)
                .collect()
        };
        let mut tokens = BTreeMap::new();
        let back = back.then_some((eos.0, back_name));
        let front = front.map(|(id, name)| (*id, name.as_str()));
        for (id, name) in front.into_iter().chain(back) {
            tokens.insert(name, json!({"id": name, "ids": [id], "tokens": [name]}));
        }
        let pair = [around("A", 0), around("B", 1)].concat();
        let template = json!({"type": "TemplateProcessing", "single": around("A", 0), "pair": pair,
            "special_tokens": tokens});
        serde_json::from_value(template).context("what goes around a text")
    }
}

#[cfg(test)]
mod tests;
