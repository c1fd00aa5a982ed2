//! The hub's client against a hub that does what a test says.

mod fetch;
mod misbehaviour;
mod push;
mod server;

use std::path::Path;
use std::time::Duration;

use rapport_hub::{Hub, Name, Settings, Token};

/// The token that servers are told, and nothing else may be.
pub const TOKEN: &str = "hf_SecretTokenOfTheTests0123";

pub fn settings(url: &str, cache: &Path) -> Settings {
    Settings {
        endpoint: url.to_owned(),
        cache: cache.to_owned(),
        token: Some(Token {
            value: TOKEN.into(),
            origin: "HF_TOKEN".into(),
        }),
        offline: false,
        patience: Duration::from_secs(1),
        first_wait: Duration::from_millis(1),
    }
}

pub fn hub(url: &str, cache: &Path) -> Hub {
    Hub::new(&settings(url, cache)).unwrap()
}

pub fn offline(cache: &Path) -> Hub {
    let settings = Settings {
        offline: true,
        // Nothing listens there.
        ..settings("http://127.0.0.1:1", cache)
    };
    Hub::new(&settings).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Content that no hash confuses, of this length.
pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * at % 251) as u8).collect()
}
