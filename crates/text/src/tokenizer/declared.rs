//! What the files around a `tokenizer.json` declare, put together as transformers 5 does: which tokens are
//! added to it, and what the special ones are called.
//!
//! `added_tokens_decoder` of `tokenizer_config.json` holds every added token where it is there; older folders
//! have `special_tokens_map.json` and `added_tokens.json` in its place. Each token goes in at the next free id
//! unless the vocabulary has it already, whatever id was declared.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::find_json;
use super::names::NAMED;

const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// What the class of transformers that reads a SentencePiece model declares with it.
pub(super) struct Implied {
    /// The class.
    pub(super) by: &'static str,
    /// Special tokens by key, where no file says otherwise.
    pub(super) defaults: Vec<(&'static str, String)>,
    /// The model's own, where no file names further special tokens.
    pub(super) added: Vec<AddedToken>,
    /// Tokens that the files list are looked for before the text is normalised.
    pub(super) raw: bool,
}

/// What a tokenizer's files declare beside `tokenizer.json`.
#[derive(Default)]
pub(super) struct Declared {
    /// Tokens to add, in this order, each with the file that declares it and the id that it is said to have.
    pub(super) added: Vec<(AddedToken, &'static str, Option<u32>)>,
    pub(super) eos: Option<String>,
    pub(super) bos: Option<String>,
    pub(super) pad: Option<String>,
    pub(super) eos_id: Option<u32>,
    /// Special tokens in a text are tokenised as any other text.
    pub(super) split_special_tokens: bool,
}

impl Declared {
    /// Reads the files in `dir`; `own` are the added tokens that `tokenizer.json` itself lists, `implied` what goes
    /// with a SentencePiece model.
    pub(super) fn read(
        dir: &Path,
        own: Option<&BTreeMap<u32, AddedToken>>,
        implied: Option<&Implied>,
    ) -> Result<Self> {
        let config = object(dir, CONFIG)?;
        let mut map = object(dir, MAP)?;
        if implied.is_some() {
            // The model's own take its place.
            map.remove("additional_special_tokens");
        }
        let mut special = Special::default();
        special.read(&config, CONFIG);
        // By id; of a token, the entry that comes last.
        let mut listed: BTreeMap<u32, (AddedToken, &'static str)> = BTreeMap::new();
        if let Some(decoder) = config.get("added_tokens_decoder") {
            let key = || format!("{}: added_tokens_decoder", dir.join(CONFIG).display());
            let decoder = decoder
                .as_object()
                .with_context(|| format!("{}: expected a table of ids to tokens", key()))?;
            for (id, value) in decoder {
                let token = token(value, false).filter(|_| value.is_object());
                let (Ok(id), Some(token)) = (id.parse(), token) else {
                    bail!(
                        "{}.{id}: expected a token id and a table with the token's \"content\"",
                        key()
                    );
                };
                listed.insert(id, (token, CONFIG));
            }
        } else {
            special.read(&map, MAP);
            let specials: Vec<String> = special.all().map(|(token, _)| token.content).collect();
            for (name, id) in object(dir, ADDED)? {
                let id = id
                    .as_u64()
                    .and_then(|id| u32::try_from(id).ok())
                    .ok_or_else(|| {
                        let file = dir.join(ADDED);
                        anyhow!("{}: {name:?}: expected a token id", file.display())
                    })?;
                let is_special = specials.contains(&name);
                listed.insert(id, (AddedToken::from(name, is_special), ADDED));
            }
            for (id, token) in own.into_iter().flatten() {
                listed.insert(*id, (token.clone(), "tokenizer.json"));
            }
        }
        if let Some(implied) = implied {
            let files = match config.contains_key("added_tokens_decoder") {
                true => vec![&config],
                false => vec![&config, &map],
            };
            special.imply(implied, &files);
            for (token, _) in listed.values_mut().filter(|_| implied.raw) {
                token.normalized = false;
            }
        }
        // A named token has the properties that it is listed with.
        for (token, _) in special.named.values_mut() {
            let same = |(other, _): &&(AddedToken, _)| other.content == token.content;
            if let Some((other, _)) = listed.values().find(same) {
                *token = other.clone();
            }
        }
        let mut declared = Self {
            split_special_tokens: config.get("split_special_tokens") == Some(&Value::Bool(true)),
            ..Self::default()
        };
        for (id, (token, file)) in listed {
            declared.added.push((token, file, Some(id)));
        }
        let own = own.into_iter().flat_map(BTreeMap::values);
        let listed = declared.added.iter().map(|(token, ..)| token).chain(own);
        let listed: HashSet<String> = listed.map(|token| token.content.clone()).collect();
        let mut named: HashMap<String, Vec<AddedToken>> = HashMap::new();
        for (token, file) in special.all() {
            // Of one that is declared twice with other properties, the last ones hold.
            let same = named.entry(token.content.clone()).or_default();
            if !listed.contains(&token.content) && !same.contains(&token) {
                same.push(token.clone());
                declared.added.push((token, file, None));
            }
        }
        for (token, ..) in &mut declared.added {
            token.special |= special.is_named(&token.content);
        }
        // transformers reads one of the two files; a name that stands in the other alone is still one.
        special.fill(&map, MAP);
        (declared.eos, declared.bos, declared.pad) = (
            special.name("eos_token"),
            special.name("bos_token"),
            special.name("pad_token"),
        );
        for file in ["generation_config.json", "config.json"] {
            let id = &object(dir, file)?
                .remove("eos_token_id")
                .unwrap_or_default();
            let id = id.as_u64().or_else(|| id[0].as_u64());
            let id = id.and_then(|id| u32::try_from(id).ok());
            declared.eos_id = declared.eos_id.or(id);
        }
        Ok(declared)
    }
}

/// Special tokens as declared.
#[derive(Default)]
struct Special {
    named: BTreeMap<usize, (AddedToken, &'static str)>,
    /// Names of a model's own, such as `image_token`.
    own: Vec<(String, AddedToken, &'static str)>,
    extra: Vec<(AddedToken, &'static str)>,
}

impl Special {
    /// Takes what a file declares, in place of what an earlier one did.
    fn read(&mut self, file: &Map<String, Value>, name: &'static str) {
        for (key, value) in file {
            if let Some(place) = NAMED.iter().position(|named| named == key) {
                self.named.remove(&place);
                if let Some(token) = token(value, true) {
                    self.named.insert(place, (token, name));
                }
            } else if key.ends_with("_token") && value.is_string() {
                self.put_own(key, value, name);
            }
        }
        let given = |key: &str| {
            let value = file.get(key)?;
            let empty = value.as_array().is_some_and(Vec::is_empty) || value.is_null();
            (!empty).then_some(value)
        };
        match given("extra_special_tokens").or_else(|| given("additional_special_tokens")) {
            Some(Value::Array(tokens)) => {
                let tokens = tokens
                    .iter()
                    .filter_map(|value| token(value, value.is_string()));
                self.extra.extend(tokens.map(|token| (token, name)));
            }
            Some(Value::Object(tokens)) => {
                for (key, value) in tokens {
                    self.put_own(key, value, name);
                }
            }
            _ => {}
        }
    }

    fn put_own(&mut self, key: &str, value: &Value, file: &'static str) {
        self.own.retain(|(other, ..)| other != key);
        let token = token(value, value.is_string()).map(|token| (key.to_owned(), token, file));
        self.own.extend(token);
    }

    /// Takes what a class declares and the `files` do not.
    fn imply(&mut self, implied: &Implied, files: &[&Map<String, Value>]) {
        for (key, name) in &implied.defaults {
            let place = NAMED.iter().position(|named| named == key);
            if let Some(place) = place.filter(|_| !files.iter().any(|it| it.contains_key(*key))) {
                let token = AddedToken::from(name.clone(), true);
                self.named.insert(place, (token, implied.by));
            }
        }
        let further = |file: &&Map<String, Value>| {
            let keys = ["extra_special_tokens", "additional_special_tokens"];
            keys.iter()
                .any(|key| file.get(*key).is_some_and(|value| !value.is_object()))
        };
        if !files.iter().any(further) {
            let added = implied.added.iter().cloned();
            self.extra.extend(added.map(|token| (token, implied.by)));
        }
    }

    /// Takes the names that are not yet declared.
    fn fill(&mut self, file: &Map<String, Value>, name: &'static str) {
        for (place, key) in NAMED.iter().enumerate() {
            if let Some(token) = file.get(*key).and_then(|value| token(value, true)) {
                self.named.entry(place).or_insert((token, name));
            }
        }
    }

    /// All of them, in the order in which unknown ones are added.
    fn all(&self) -> impl Iterator<Item = (AddedToken, &'static str)> {
        let own = self.own.iter().map(|(_, token, file)| (token, file));
        let named = self.named.values().map(|(token, file)| (token, file));
        let extra = self.extra.iter().map(|(token, file)| (token, file));
        let all = named.chain(own).chain(extra);
        all.map(|(token, file)| (token.clone(), *file))
    }

    /// Whether a text is the name of a special token, one of the further ones apart.
    fn is_named(&self, content: &str) -> bool {
        let named = self.named.values().map(|(token, _)| token);
        let own = self.own.iter().map(|(_, token, _)| token);
        named.chain(own).any(|token| token.content == content)
    }

    fn name(&self, key: &str) -> Option<String> {
        let place = NAMED.iter().position(|named| *named == key)?;
        Some(self.named.get(&place)?.0.content.clone())
    }
}

/// A token given as text or as a table with its content and properties; nothing where there is none.
fn token(value: &Value, special: bool) -> Option<AddedToken> {
    let content = value.as_str().or_else(|| value["content"].as_str())?;
    if content.is_empty() {
        return None;
    }
    let flag = |key: &str, default: bool| value[key].as_bool().unwrap_or(default);
    let special = flag("special", false) || special;
    Some(AddedToken {
        content: content.to_owned(),
        single_word: flag("single_word", false),
        lstrip: flag("lstrip", false),
        rstrip: flag("rstrip", false),
        normalized: flag("normalized", !special),
        special,
    })
}

/// Names that the files list for ids, as a tokenizer's vocabulary gets them.
pub(super) fn declared_names(
    dir: &Path,
    config: &Map<String, Value>,
) -> Result<BTreeMap<u32, String>> {
    let name = |value: &Value| Some(value["content"].as_str()?.to_owned());
    Ok(match config.get("added_tokens_decoder") {
        Some(decoder) => {
            let entries = decoder.as_object().into_iter().flatten();
            entries
                .filter_map(|(id, token)| Some((id.parse().ok()?, name(token)?)))
                .collect()
        }
        None => object(dir, ADDED)?
            .into_iter()
            .filter_map(|(name, id)| Some((u32::try_from(id.as_u64()?).ok()?, name)))
            .collect(),
    })
}

/// A JSON file's keys; none where the file is not there.
pub(super) fn object(dir: &Path, name: &str) -> Result<Map<String, Value>> {
    let path = dir.join(name);
    match find_json(&path)? {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => bail!("{}: expected a JSON object", path.display()),
    }
}
