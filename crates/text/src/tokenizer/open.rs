//! Opening a tokenizer's files.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rapport_store::{OrBadInput as _, read_regular};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::{AddedToken, Model as _};

use super::chat::Chat;
use super::declared::Declared;
use super::train::{add_special, byte_level};
use super::{END, FILES, LIMIT, Tokenizer};
use crate::caught::caught;

/// Letters, digits, spaces, bytes of several and signs: what the parts of a tokenizer break on, if they do.
const TRIAL: &str = " Hello, it's  42!\n naïve – 日本語 🙂\t<s>x";

impl Tokenizer {
    /// Opens a folder with `tokenizer.json` or with GPT-2's `vocab.json` and `merges.txt`, or a
    /// `tokenizer.json` by its own path. The files around it say which token ends a text and which tokens
    /// are added to it, as transformers reads them.
    ///
    /// # Errors
    /// Missing or damaged files, or no end-of-text token to be found.
    pub fn open(path: &Path) -> Result<Self> {
        open(path).or_bad_input()
    }
}

fn open(path: &Path) -> Result<Tokenizer> {
    let alone = path.is_file();
    let dir = match alone {
        true => path.parent().unwrap_or(Path::new("")),
        false => path,
    };
    let json = match alone {
        true => path.to_owned(),
        false => dir.join("tokenizer.json"),
    };
    let mut files = BTreeMap::new();
    for name in FILES {
        let file = match name {
            "tokenizer.json" => json.clone(),
            _ => dir.join(name),
        };
        if file.exists() {
            files.insert(name, read_regular(&file, LIMIT)?);
        }
    }
    let (main, opened) = match (
        files.get("tokenizer.json"),
        files.get("vocab.json"),
        files.get("merges.txt"),
    ) {
        (Some(bytes), ..) => {
            let opened = || {
                tokenizers::Tokenizer::from_bytes(bytes)
                    .map_err(|error| anyhow!("{}: not a tokenizer.json: {error}", json.display()))
            };
            let opened = caught(opened);
            (json, opened)
        }
        (None, Some(vocab), Some(merges)) => {
            (dir.join("merges.txt"), caught(|| gpt2(dir, vocab, merges)))
        }
        _ => bail!(
            "{}: no tokenizer.json, and no vocab.json with merges.txt; convert the tokenizer \
             to tokenizer.json first",
            dir.display()
        ),
    };
    let damaged = || {
        format!(
            "{}: damaged, or of a kind that cannot be read: the tokenizers library breaks off on it; \
             save it again, with save_pretrained of transformers' AutoTokenizer",
            main.display()
        )
    };
    let mut inner = opened.with_context(damaged)??;
    let mut notes = Vec::new();
    // A file may ask for truncation or padding; neither may happen unseen.
    inner.with_padding(None);
    inner
        .with_truncation(None)
        .map_err(|error| anyhow!("{}: {error}", main.display()))?;
    if undrop(&mut inner) {
        notes.push(
            "tokenizer.json asks for dropout, which would give a text other tokens each time; it is off"
                .to_owned(),
        );
    }
    let own: BTreeMap<u32, AddedToken> = inner.get_added_tokens_decoder().into_iter().collect();
    let declared = Declared::read(dir, files.contains_key("tokenizer.json").then_some(&own))?;
    caught(|| add(&mut inner, &declared, &own, &mut notes)).with_context(damaged)??;
    inner.set_encode_special_tokens(declared.split_special_tokens);
    let named = |name: String| Some((inner.token_to_id(&name)?, name));
    let by_id = |id: u32| Some((id, inner.id_to_token(id)?));
    let eos = declared
        .eos
        .and_then(named)
        .or_else(|| declared.eos_id.and_then(by_id))
        .or_else(|| named(END.to_owned()))
        .with_context(|| {
            format!(
                "{}: no end-of-text token; name one of its tokens as \"eos_token\" in \
                 tokenizer_config.json",
                dir.display()
            )
        })?;
    let bos = declared.bos.and_then(named);
    let pad = declared.pad.and_then(named).map(|(id, _)| id);
    let template = caught(|| {
        // What a tokenizer refuses here it may refuse for want of a word; what it breaks off on is damaged.
        if let Ok(trial) = inner.encode(TRIAL, true) {
            let _ = inner.decode(trial.get_ids(), true);
        }
        let empty = inner.encode("", true);
        empty.map_or_else(|_| Vec::new(), |empty| empty.get_ids().to_vec())
    })
    .with_context(damaged)?;
    let known = inner.get_vocab(true).into_values();
    let ids = known.chain(template).max().map_or(0, |id| id as usize + 1);
    let mut tokenizer = Tokenizer {
        inner,
        files,
        file: main,
        notes,
        ids,
        eos,
        bos,
        pad,
        chat: match alone {
            true => Chat::default(),
            false => Chat::find(dir),
        },
    };
    tokenizer.complete_files()?;
    Ok(tokenizer)
}

/// GPT-2's files, whose end of text is special.
fn gpt2(dir: &Path, vocab: &[u8], merges: &[u8]) -> Result<tokenizers::Tokenizer> {
    let (vocab_file, merges_file) = (dir.join("vocab.json"), dir.join("merges.txt"));
    serde_json::from_slice::<BTreeMap<String, u32>>(vocab).map_err(|error| {
        anyhow!(
            "{}: expected a JSON table of tokens to ids: {error}",
            vocab_file.display()
        )
    })?;
    std::str::from_utf8(merges).map_err(|error| anyhow!("{}: {error}", merges_file.display()))?;
    let model = BPE::from_file(
        &vocab_file.to_string_lossy(),
        &merges_file.to_string_lossy(),
    )
    .build()
    .map_err(|error| anyhow!("{}: {error}", merges_file.display()))?;
    let mut inner = byte_level(model);
    if inner.token_to_id(END).is_some() {
        add_special(&mut inner, &[END])?;
    }
    Ok(inner)
}

/// Adds what the files around the tokenizer declare.
fn add(
    inner: &mut tokenizers::Tokenizer,
    declared: &Declared,
    own: &BTreeMap<u32, AddedToken>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let before = inner.get_model().get_vocab_size() + own.len();
    ensure!(
        declared.added.len() <= 1 << 20,
        "{} added tokens, where a tokenizer has {before}",
        declared.added.len()
    );
    let known: Vec<bool> = declared
        .added
        .iter()
        .map(|(token, ..)| inner.token_to_id(&token.content).is_some())
        .collect();
    let tokens: Vec<AddedToken> = declared.added.iter().map(|it| it.0.clone()).collect();
    inner
        .add_tokens(tokens)
        .map_err(|error| anyhow!("adding the declared tokens: {error}"))?;
    for ((token, file, said), known) in declared.added.iter().zip(known) {
        let id = inner.token_to_id(&token.content);
        let (Some(id), false) = (id, known) else {
            continue;
        };
        let mut note = format!(
            "{file} declares {:?}, which tokenizer.json lacks: it is token {id}",
            token.content
        );
        if let Some(said) = said.filter(|said| *said != id) {
            note.push_str(&format!(
                ", the next free one, and not {said} as declared there"
            ));
        }
        notes.push(note);
    }
    Ok(())
}

/// Turns off what draws at random which tokens a text gets; whether there was any.
fn undrop(inner: &mut tokenizers::Tokenizer) -> bool {
    let mut model = match inner.get_model() {
        ModelWrapper::BPE(model) if model.dropout.is_some_and(|rate| rate > 0.0) => {
            ModelWrapper::BPE(model.clone())
        }
        ModelWrapper::Unigram(model) if model.alpha.is_some() || model.nbest_size.is_some() => {
            ModelWrapper::Unigram(model.clone())
        }
        _ => return false,
    };
    match &mut model {
        ModelWrapper::BPE(model) => model.dropout = None,
        ModelWrapper::Unigram(model) => (model.alpha, model.nbest_size) = (None, None),
        _ => {}
    }
    inner.with_model(model);
    true
}
