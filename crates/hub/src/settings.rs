//! What the environment says, by the variables of `huggingface_hub`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rapport_http::base_address;
use rapport_store::read_regular;

const ENDPOINT: &str = "https://huggingface.co";

/// How the hub is reached, and where its files are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hub's address: `HF_ENDPOINT`.
    pub endpoint: String,
    /// The folder of repositories: `HF_HUB_CACHE`, else `hub` in `HF_HOME`.
    pub cache: PathBuf,
    /// `HF_TOKEN`, else what the token's file holds.
    pub token: Option<Token>,
    /// Nothing is asked of any server: `HF_HUB_OFFLINE`.
    pub offline: bool,
    /// A server that says nothing for so long, or next to nothing, is asked again: `HF_HUB_DOWNLOAD_TIMEOUT`.
    pub patience: Duration,
    /// The wait before the second try; it doubles from there.
    pub first_wait: Duration,
}

/// A token and where it is from.
#[derive(Clone)]
pub struct Token {
    pub value: String,
    pub origin: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token of {}", self.origin)
    }
}

impl Settings {
    /// # Errors
    /// A variable that cannot be used, by its name.
    pub fn from_env() -> Result<Self> {
        Self::read(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint =
            base_address(&endpoint, "give a token in HF_TOKEN").context("HF_ENDPOINT")?;
        let user = get("HOME").unwrap_or_else(|| ".".to_owned());
        let place = |text: String| match text.strip_prefix("~/") {
            Some(rest) => Path::new(&user).join(rest),
            None => PathBuf::from(text),
        };
        let home = get("HF_HOME").map(&place).unwrap_or_else(|| {
            let caches = get("XDG_CACHE_HOME").map(&place);
            let caches = caches.unwrap_or_else(|| Path::new(&user).join(".cache"));
            caches.join("huggingface")
        });
        let cache = get("HF_HUB_CACHE").or_else(|| get("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.map(&place).unwrap_or_else(|| home.join("hub"));
        let token_file = get("HF_TOKEN_PATH").map(&place);
        let token_file = token_file.unwrap_or_else(|| home.join("token"));
        let named = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
            .into_iter()
            .find_map(|name| {
                let value = get(name)?.trim().to_owned();
                (!value.is_empty()).then(|| Token {
                    value,
                    origin: name.to_owned(),
                })
            });
        let token = match named {
            Some(token) => Some(token),
            None if flag(get("HF_HUB_DISABLE_IMPLICIT_TOKEN")) => None,
            None => of_file(&token_file)?,
        };
        let offline = get("HF_HUB_OFFLINE").or_else(|| get("TRANSFORMERS_OFFLINE"));
        let patience = get("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|seconds| seconds.parse().ok());
        Ok(Self {
            endpoint,
            // Links in the cache and stages' artifacts lead to it from wherever they are.
            cache: std::path::absolute(&cache).unwrap_or(cache),
            token,
            offline: flag(offline),
            patience: Duration::from_secs(patience.unwrap_or(10).clamp(1, 600)),
            first_wait: Duration::from_secs(1),
        })
    }
}

fn flag(value: Option<String>) -> bool {
    let value = value.unwrap_or_default().to_uppercase();
    ["1", "ON", "YES", "TRUE"].contains(&&*value)
}

fn of_file(path: &Path) -> Result<Option<Token>> {
    const LONGEST: u64 = 1 << 16;
    if fs::metadata(path).is_err() {
        return Ok(None);
    }
    let bytes = read_regular(path, LONGEST).context("the file of the hub's token")?;
    let value = String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok((!value.is_empty()).then(|| Token {
        value,
        origin: path.display().to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(set: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            let value = set.iter().find(|(known, _)| *known == name);
            value.map(|(_, value)| (*value).to_owned())
        })
        .unwrap()
    }

    #[test]
    fn variables_say_where_as_huggingface_hub_reads_them() {
        let cache = |set: &[(&str, &str)]| settings(set).cache.display().to_string();
        assert_eq!(cache(&[("HOME", "/u")]), "/u/.cache/huggingface/hub");
        let xdg = [("HOME", "/u"), ("XDG_CACHE_HOME", "/x")];
        assert_eq!(cache(&xdg), "/x/huggingface/hub");
        let home = [("HOME", "/u"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/h")];
        assert_eq!(cache(&home), "/u/h/hub");
        let own = [("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")];
        assert_eq!(cache(&own), "/c");
        assert_eq!(settings(&[]).endpoint, ENDPOINT);
        let endpoint = settings(&[("HF_ENDPOINT", "http://localhost:1/")]).endpoint;
        assert_eq!(endpoint, "http://localhost:1");
        for (value, offline) in [("1", true), ("yes", true), ("0", false), ("no", false)] {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).offline, offline);
        }
    }

    #[test]
    fn a_token_is_the_variables_before_the_files_and_shows_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        assert!(settings(&[("HF_HOME", &home)]).token.is_none());
        fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        let token = |set: &[(&str, &str)]| settings(set).token.map(|token| token.value);
        assert_eq!(token(&[("HF_HOME", &home)]).as_deref(), Some("hf_file"));
        let both = settings(&[("HF_HOME", &home), ("HF_TOKEN", " hf_var ")]);
        assert_eq!(both.token.as_ref().unwrap().value, "hf_var");
        assert!(!format!("{both:?}").contains("hf_var"));
        let none = [("HF_HOME", &*home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert_eq!(token(&none), None);
        let wrong =
            Settings::read(|name| (name == "HF_ENDPOINT").then(|| "http://me:secret@x".to_owned()));
        let error = format!("{:#}", wrong.unwrap_err());
        assert!(
            error.contains("HF_ENDPOINT") && !error.contains("secret"),
            "{error}"
        );
    }
}
