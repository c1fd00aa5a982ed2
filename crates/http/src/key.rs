//! A key as a request carries it.

use anyhow::{Result, anyhow, bail};
use ureq::http::HeaderValue;

use super::secret::{SHORTEST, Secret};

/// A bearer's key, with what it takes to find it in a text.
pub struct Key {
    /// The value of `Authorization`.
    pub header: HeaderValue,
    secret: Secret,
}

impl Key {
    /// # Errors
    /// A key that is empty, shorter than can be told from other text, or that no header can hold; `origin` says where it
    /// is from, and the key itself is not told.
    pub fn new(key: &str, origin: &str) -> Result<Self> {
        let key = key.trim();
        if key.is_empty() {
            bail!("{origin} is empty");
        }
        // The library's own error would be fine today, but must never come to show the value.
        let mut header = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| anyhow!("{origin} holds characters that no key has"))?;
        header.set_sensitive(true);
        if key.len() < SHORTEST {
            bail!(
                "{origin} holds fewer than {SHORTEST} characters, too few to be kept out of what the server repeats"
            );
        }
        Ok(Self {
            header,
            secret: Secret::new(key),
        })
    }

    /// The bytes without the key, which a server may repeat.
    pub fn hide_bytes(&self, text: Vec<u8>) -> Vec<u8> {
        self.secret.hide(text)
    }

    /// [`Key::hide_bytes`] of a text.
    pub fn hide(&self, text: &str) -> String {
        let hidden = self.hide_bytes(text.as_bytes().to_vec());
        String::from_utf8_lossy(&hidden).into_owned()
    }
}
