//! A model folder as one GGUF file: weights, tokenizer, chat template and stops, for llama.cpp and what builds on it.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::data::{Tokenizer, Vocabulary};
use crate::model::gguf::{self, Encoding, Pairs, Value};
use crate::model::hf;
use crate::stage::artifact::{folder, generation};
use crate::store::OrBadInput;

/// Writes the language model in `dir` to `out`, under the name `name`. Returns what people should know.
///
/// # Errors
/// A folder that cannot be read, or whose model or tokenizer llama.cpp has no equal of; a failure to write.
pub fn write(dir: &Path, name: &str, encoding: Encoding, out: &Path) -> Result<Vec<String>> {
    let (config, checkpoint) = hf::open(dir).or_bad_input()?;
    let tokenizer = Tokenizer::open(dir).or_bad_input()?;
    folder::fits(dir, &config, &tokenizer)?;
    gguf::architecture(&config)
        .with_context(|| format!("{}: cannot be exported", dir.display()))
        .or_bad_input()?;
    let mut notes = checkpoint.notes.clone();
    let vocabulary = tokenizer.vocabulary(config.vocab_size)?;
    let stops = generation::stops(dir, (&tokenizer, &config))?;
    let general = [
        ("general.type", Value::Text("model".into())),
        ("general.name", Value::Text(name.into())),
    ];
    let general = general.map(|(key, value)| (key.to_owned(), value));
    let pairs = described(&tokenizer, vocabulary, &stops, &mut notes)?;
    notes.extend(gguf::write(
        out,
        &config,
        &checkpoint,
        encoding,
        general.into(),
        pairs,
    )?);
    Ok(notes)
}

/// What the file says of the tokenizer.
fn described(
    tokenizer: &Tokenizer,
    vocabulary: Vocabulary,
    stops: &[u32],
    notes: &mut Vec<String>,
) -> Result<Pairs> {
    // A file has a place for each of these.
    const ENDS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];
    let mut pairs = Pairs::new();
    let mut put = |key: &str, value: Value| pairs.push((format!("tokenizer.{key}"), value));
    put("ggml.model", Value::Text(vocabulary.model.into()));
    put("ggml.pre", Value::Text(vocabulary.pre.into()));
    let (mut texts, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (text, score, kind) in vocabulary.tokens {
        texts.push(text);
        scores.push(score);
        kinds.push(kind as i32);
    }
    put("ggml.tokens", Value::Texts(texts));
    if vocabulary.model == "llama" {
        put("ggml.scores", Value::F32s(scores));
    }
    put("ggml.token_type", Value::I32s(kinds));
    if vocabulary.model == "gpt2" {
        put("ggml.merges", Value::Texts(vocabulary.merges));
    }
    if let Some(bos) = tokenizer.bos() {
        put("ggml.bos_token_id", Value::U32(bos));
    }
    for (key, id) in ENDS.iter().zip(stops) {
        put(&format!("ggml.{key}"), Value::U32(*id));
    }
    if let Some(unnamed) = stops.get(ENDS.len()..).filter(|it| !it.is_empty()) {
        notes.push(format!(
            "tokens {unnamed:?} end a reply as well, and the file has no place for them: name them as stops where you \
             generate"
        ));
    }
    if let Some(unk) = vocabulary.unk {
        put("ggml.unknown_token_id", Value::U32(unk));
    }
    if let Some(pad) = tokenizer.pad() {
        put("ggml.padding_token_id", Value::U32(pad));
    }
    put("ggml.add_bos_token", Value::Bool(vocabulary.add_bos));
    put("ggml.add_eos_token", Value::Bool(vocabulary.add_eos));
    if vocabulary.model == "llama" {
        let prefix = Value::Bool(vocabulary.add_space_prefix);
        put("ggml.add_space_prefix", prefix);
    }
    if let Some(template) = tokenizer.template()? {
        put("chat_template", Value::Text(template.source().into()));
    }
    Ok(pairs)
}
