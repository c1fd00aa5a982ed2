//! Which files of a repository are needed: no pickles, no second copy of the weights, no other framework's.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Deserialize;

use super::error::{HubError, Why};
use super::name::{Name, check_file};

/// What a name is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A model or an adapter: configuration, tokenizer and weights.
    Model,
    /// A tokenizer alone.
    Tokenizer,
    /// A file, or all files of a folder.
    Data,
}

const CONFIG: &str = "config.json";
const ADAPTER: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
const WEIGHTS: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// What a tokenizer may be made of.
const TOKENIZERS: [&str; 12] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
];

/// Endings of what is run when it is opened, or is another framework's weights.
const NEVER: [&str; 12] = [
    ".bin", ".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".py", ".so", ".exe",
    ".onnx",
];

/// The files that are taken wherever a repository has them.
pub(crate) fn fixed(wanted: Wanted) -> Vec<&'static str> {
    match wanted {
        Wanted::Data => Vec::new(),
        Wanted::Tokenizer => [&TOKENIZERS[..], &[CONFIG]].concat(),
        Wanted::Model => [
            &TOKENIZERS[..],
            &[
                CONFIG,
                "generation_config.json",
                ADAPTER,
                ADAPTER_WEIGHTS,
                INDEX,
            ],
        ]
        .concat(),
    }
}

/// The files of a listing that are needed, before the index of the weights is known.
///
/// # Errors
/// What the repository lacks.
pub(crate) fn choose(
    name: &Name,
    wanted: Wanted,
    listing: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let lacks = |message: String| HubError::new(Why::NoFile, format!("{name}: {message}"));
    if wanted == Wanted::Data {
        return data(name, listing);
    }
    let inside = |file: &str| name.inside(file);
    let has = |file: &str| listing.contains(&inside(file));
    let mut files: Vec<String> = fixed(wanted)
        .into_iter()
        .filter(|file| has(file))
        .map(inside)
        .collect();
    let templates = inside("additional_chat_templates/");
    files.extend(
        listing
            .iter()
            .filter(|file| file.starts_with(&templates))
            .cloned(),
    );
    if wanted == Wanted::Tokenizer {
        let makes = [
            "tokenizer.json",
            "vocab.json",
            "vocab.txt",
            "tokenizer.model",
            "spiece.model",
            "sentencepiece.bpe.model",
        ];
        if !makes.iter().any(|file| has(file)) {
            return Err(lacks(format!("no tokenizer there; {}", shown(listing))).into());
        }
        return Ok(files);
    }
    if has(ADAPTER) {
        if !has(ADAPTER_WEIGHTS) {
            return Err(lacks(format!(
                "an adapter without {ADAPTER_WEIGHTS}; {}",
                shown(listing)
            ))
            .into());
        }
    } else if !has(CONFIG) {
        return Err(lacks(format!(
            "no {CONFIG} there, so that it is no model; {}",
            shown(listing)
        ))
        .into());
    }
    // transformers takes one file before shards, too.
    match (has(WEIGHTS), has(INDEX), has(ADAPTER)) {
        (true, _, _) => {
            files.retain(|file| *file != inside(INDEX));
            files.push(inside(WEIGHTS));
        }
        (false, true, _) | (false, false, true) => {}
        (false, false, false) => {
            return Err(lacks(format!(
                "no {WEIGHTS} there; other weights, such as pickles, are not fetched: convert them with transformers \
                 (save_pretrained); {}",
                shown(listing)
            ))
            .into());
        }
    }
    Ok(files)
}

/// The shards that an index names.
///
/// # Errors
/// An index that cannot be read, or a shard that leads out of the folder.
pub(crate) fn shards(name: &Name, index: &[u8]) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let wrong = |message: String| HubError::new(Why::Wrong, format!("{name}: {INDEX}: {message}"));
    let index: Index = serde_json::from_slice(index)
        .map_err(|error| wrong(rapport_http::shorten(&error.to_string())))?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    for file in &files {
        check_file(file).map_err(|error| wrong(format!("{error:#}")))?;
        if !file.ends_with(".safetensors") {
            let file = rapport_http::shorten(file);
            return Err(wrong(format!("names {file:?}, which is no safetensors")).into());
        }
    }
    Ok(files.iter().map(|file| name.inside(file)).collect())
}

fn data(name: &Name, listing: &BTreeSet<String>) -> Result<Vec<String>> {
    /// Files of one folder.
    const MOST: usize = 10_000;
    let lacks = |message: String| HubError::new(Why::NoFile, format!("{name}: {message}"));
    let wanted = |file: &String| {
        let name = file.rsplit('/').next().unwrap_or_default();
        !name.starts_with('.')
            && !NEVER
                .iter()
                .any(|ending| file.to_lowercase().ends_with(ending))
    };
    let files: Vec<String> = match &name.file {
        Some(file) if listing.contains(file) => vec![file.clone()],
        Some(folder) => {
            let folder = format!("{folder}/");
            let below = listing.iter().filter(|file| file.starts_with(&folder));
            below.filter(|file| wanted(file)).cloned().collect()
        }
        None => listing
            .iter()
            .filter(|file| wanted(file))
            .cloned()
            .collect(),
    };
    if files.is_empty() {
        return Err(lacks(format!("no such file; {}", shown(listing))).into());
    }
    if files.len() > MOST {
        let count = files.len();
        return Err(lacks(format!(
            "{count} files; name one of them, or a folder with fewer"
        ))
        .into());
    }
    Ok(files)
}

fn shown(listing: &BTreeSet<String>) -> String {
    const SHOWN: usize = 12;
    let hidden = |file: &&String| !file.starts_with('.');
    let names = listing.iter().filter(hidden).take(SHOWN);
    let names: Vec<&str> = names.map(String::as_str).collect();
    let names = rapport_http::shorten(&names.join(", "));
    match listing.iter().filter(hidden).count() {
        0 => "it has no files".into(),
        count if count > SHOWN => format!("it has {names} and {} more files", count - SHOWN),
        _ => format!("it has {names}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: &str, wanted: Wanted, listing: &[&str]) -> Result<Vec<String>, String> {
        let listing = listing.iter().map(|file| (*file).to_owned()).collect();
        let mut files = choose(&Name::parse(name).unwrap(), wanted, &listing)
            .map_err(|error| error.to_string())?;
        files.sort();
        Ok(files)
    }

    #[test]
    fn what_a_model_needs_is_taken_and_nothing_else() {
        let repo = [
            ".gitattributes",
            "README.md",
            "config.json",
            "consolidated.safetensors",
            "generation_config.json",
            "model.safetensors",
            "onnx/model.onnx",
            "pytorch_model.bin",
            "tokenizer.json",
            "modeling_x.py",
            "additional_chat_templates/tool.jinja",
            "sub/config.json",
            "sub/model.safetensors.index.json",
        ];
        assert_eq!(
            chosen("hub:a/b", Wanted::Model, &repo).unwrap(),
            [
                "additional_chat_templates/tool.jinja",
                "config.json",
                "generation_config.json",
                "model.safetensors",
                "tokenizer.json"
            ]
        );
        assert_eq!(
            chosen("hub:a/b/sub", Wanted::Model, &repo).unwrap(),
            ["sub/config.json", "sub/model.safetensors.index.json"]
        );
        assert_eq!(
            chosen("hub:a/b", Wanted::Tokenizer, &repo).unwrap(),
            [
                "additional_chat_templates/tool.jinja",
                "config.json",
                "tokenizer.json"
            ]
        );
        let adapter = [
            "adapter_config.json",
            "adapter_model.safetensors",
            "adapter_model.bin",
        ];
        assert_eq!(
            chosen("hub:a/b", Wanted::Model, &adapter).unwrap(),
            ["adapter_config.json", "adapter_model.safetensors"]
        );
    }

    #[test]
    fn what_a_repository_lacks_is_said() {
        for (wanted, listing, expected) in [
            (
                Wanted::Model,
                &["config.json", "pytorch_model.bin"][..],
                "pickles",
            ),
            (Wanted::Model, &["model.safetensors"], "no config.json"),
            (
                Wanted::Model,
                &["adapter_config.json", "adapter_model.bin"],
                "without adapter_model",
            ),
            (Wanted::Tokenizer, &["config.json"], "no tokenizer"),
            (Wanted::Data, &[".gitattributes", "x.py"], "it has x.py"),
            (Wanted::Data, &[], "it has no files"),
        ] {
            let error = chosen("hub:a/b", wanted, listing).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn data_is_a_file_or_all_of_a_folder() {
        let repo = [
            "data/a.parquet",
            "data/b.parquet",
            "data/b.py",
            "data2/c.parquet",
        ];
        let data = |name| chosen(name, Wanted::Data, &repo);
        assert_eq!(
            data("hub:datasets/a/b/data/a.parquet").unwrap(),
            ["data/a.parquet"]
        );
        assert_eq!(
            data("hub:datasets/a/b/data").unwrap(),
            ["data/a.parquet", "data/b.parquet"]
        );
        assert!(
            data("hub:datasets/a/b/dat")
                .unwrap_err()
                .contains("no such file")
        );
    }

    #[test]
    fn an_index_names_safetensors_beside_it() {
        let name = Name::parse("hub:a/b/sub").unwrap();
        let index = |map: &str| shards(&name, format!("{{\"weight_map\":{map}}}").as_bytes());
        let files =
            index(r#"{"x": "1.safetensors", "y": "2.safetensors", "z": "1.safetensors"}"#).unwrap();
        assert_eq!(
            files.into_iter().collect::<Vec<_>>(),
            ["sub/1.safetensors", "sub/2.safetensors"]
        );
        for map in [
            r#"{"x": "../1.safetensors"}"#,
            r#"{"x": "/1.safetensors"}"#,
            r#"{"x": "1.bin"}"#,
            "[]",
            "{",
        ] {
            assert!(index(map).is_err(), "{map}");
        }
    }
}
