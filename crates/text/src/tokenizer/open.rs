//! Opening a tokenizer's files.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rapport_store::{OrBadInput as _, read_regular};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::{AddedToken, Model as _};

use super::chat::Chat;
use super::declared::Declared;
use super::train::{add_special, byte_level};
use super::{AROUND, END, FILES, LIMIT, Tokenizer, sentencepiece};
use crate::caught::caught;

/// Letters, digits, spaces, bytes of several and signs: what the parts of a tokenizer break on, if they do.
const TRIAL: &str = " Hello, it's  42!\n naïve – 日本語 🙂\t<s>x";

impl Tokenizer {
    /// Opens a folder with `tokenizer.json`, with GPT-2's `vocab.json` and `merges.txt`, or with a SentencePiece
    /// model (`tokenizer.model`, `spiece.model`); or a `tokenizer.json` or a `.model` by its own path. The files
    /// around it say which token ends a text and which tokens are added to it, as transformers reads them.
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
    let by_name = |name: &str| match alone {
        true if name == "tokenizer.json" => path.to_owned(),
        _ => dir.join(name),
    };
    let mut files = BTreeMap::new();
    for name in FILES {
        let file = by_name(name);
        if file.exists() {
            files.insert(name, read_regular(&file, LIMIT)?);
        }
    }
    let model = match alone && path.extension().is_some_and(|it| it == "model") {
        true => {
            files.retain(|name, _| AROUND.contains(name));
            Some(path.to_owned())
        }
        false => sentencepiece::find(dir),
    };
    let mut pieces = None;
    let (main, opened) = match (
        files.get("tokenizer.json"),
        files.get("vocab.json"),
        files.get("merges.txt"),
        model,
    ) {
        (Some(bytes), ..) => {
            let json = by_name("tokenizer.json");
            let opened = caught(|| {
                tokenizers::Tokenizer::from_bytes(bytes)
                    .map_err(|error| anyhow!("{}: not a tokenizer.json: {error}", json.display()))
            });
            (json, opened)
        }
        (None, Some(vocab), Some(merges), _) => {
            (dir.join("merges.txt"), caught(|| gpt2(dir, vocab, merges)))
        }
        (.., Some(model)) => {
            let bytes = match files.entry(sentencepiece::name(&model)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(alone) => alone.insert(read_regular(&model, LIMIT)?),
            };
            let opened = caught(|| sentencepiece::read(&model, bytes, dir));
            let opened = opened.map(|read| {
                let (inner, read) = read?;
                pieces = Some(read);
                Ok(inner)
            });
            (model, opened)
        }
        _ => bail!(
            "{}: no tokenizer.json, no vocab.json with merges.txt, and no SentencePiece model (tokenizer.model, \
             spiece.model); convert the tokenizer to tokenizer.json first",
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
    let declared = Declared::read(
        dir,
        files.contains_key("tokenizer.json").then_some(&own),
        pieces.as_ref().map(|read| &read.implied),
    )?;
    let name = main.file_name().unwrap_or_default().to_string_lossy();
    caught(|| add(&mut inner, &name, &declared, &own, &mut notes)).with_context(damaged)??;
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
    let mut class = None;
    if let Some(read) = pieces {
        let around = read.post_processor(bos.as_ref(), &eos)?;
        inner.with_post_processor(Some(around));
        notes.extend(read.notes);
        class = Some(read.class);
        if let Some(config) = files
            .get_mut("tokenizer_config.json")
            .filter(|_| read.unnamed)
        {
            // Beside a model's config.json, its `model_type` would name another class.
            let mut keys: serde_json::Map<_, _> = serde_json::from_slice(config)?;
            keys.insert("tokenizer_class".to_owned(), read.class.into());
            *config = serde_json::to_vec_pretty(&keys)?;
        }
    }
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
    tokenizer.complete_files(class)?;
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
    main: &str,
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
    let mut seen = HashSet::new();
    for ((token, file, said), known) in declared.added.iter().zip(known) {
        let id = inner.token_to_id(&token.content);
        let first = seen.insert(&token.content);
        let (Some(id), false, true) = (id, known, first) else {
            continue;
        };
        let mut note = format!(
            "{file} declares {:?}, which {main} lacks: it is token {id}",
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
