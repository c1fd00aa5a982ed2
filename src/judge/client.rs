//! One HTTP request to a chat completions endpoint: within its time, of bounded size, its key told to
//! nobody else.

use std::env;
use std::io::Read as _;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow, bail};
use ureq::{Agent, Body, Error};

use crate::http::{Key, agent_for, base_address, retry, shorten};

/// Sends requests to one server.
pub(super) struct Client {
    agent: Agent,
    url: String,
    key: Option<Key>,
    max_bytes: usize,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Reply {
    /// A response. With a status other than success, its body may be incomplete.
    Whole {
        status: u16,
        retry_after: Option<Duration>,
        location: Option<String>,
        body: Vec<u8>,
    },
    /// No response, or the part of one.
    Broken {
        reason: String,
        /// The connection stood, so that the server may have worked (and charge) for it.
        connected: bool,
        /// There is more than may be read, so that asking again is of no use.
        too_large: bool,
        body: Vec<u8>,
    },
}

/// The address without its last slash, if requests can be sent there.
///
/// # Errors
/// What is wrong with it, and the remedy.
pub fn check_base_url(base_url: &str) -> Result<String> {
    let trimmed = base_address(base_url, "name the key's variable in api_key_env")?;
    if trimmed.ends_with("/chat/completions") {
        bail!("expected the address without /chat/completions, which is appended to it");
    }
    Ok(trimmed)
}

impl Client {
    /// A client of `base_url`, which must have been checked, with the key in the variable
    /// `api_key_env`. Of an answer, at most `max_bytes` are read.
    ///
    /// # Errors
    /// A variable without a key, or a key that no header can hold.
    pub(super) fn new(
        base_url: &str,
        api_key_env: Option<&str>,
        connect_timeout: Duration,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Self> {
        let config = agent_for(base_url)
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(connect_timeout.min(timeout)))
            .timeout_connect(Some(connect_timeout.min(timeout)))
            // Beside a model's answer a new connection costs little, and on an old one a server that
            // repeats itself would have its repetition taken for the answer to the next question.
            .max_idle_connections(0);
        Ok(Self {
            agent: config.build().into(),
            url: format!("{base_url}/chat/completions"),
            key: api_key_env.map(key).transpose()?,
            max_bytes,
        })
    }

    /// The address that requests go to.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a JSON body and reads what comes, for no longer than the timeout in all.
    pub(super) fn post(&self, body: &str) -> Reply {
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json")
            .header("Connection", "close");
        if let Some(key) = &self.key {
            request = request.header("Authorization", key.header.clone());
        }
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => {
                let body = Vec::new();
                return self.broken(&error, body);
            }
        };
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let retry_after =
            header("Retry-After").and_then(|text| retry::retry_after(&text, SystemTime::now()));
        let location = header("Location").map(|location| self.hide(&location));
        let status = response.status().as_u16();
        let (body, end) = self.read(response.body_mut());
        match end {
            Err(error) if (200..300).contains(&status) => self.broken(&error, body),
            _ => Reply::Whole {
                status,
                retry_after,
                location,
                body: self.hide_bytes(body),
            },
        }
    }

    fn read(&self, body: &mut Body) -> (Vec<u8>, Result<(), Error>) {
        let mut bytes = Vec::new();
        let limit = self.max_bytes as u64 + 1;
        let read = body.as_reader().take(limit).read_to_end(&mut bytes);
        let end = match read {
            Ok(_) if bytes.len() > self.max_bytes => Err(Error::BodyExceedsLimit(limit - 1)),
            Ok(_) => Ok(()),
            Err(error) => Err(error.downcast::<Error>().unwrap_or_else(Error::Io)),
        };
        bytes.truncate(self.max_bytes);
        (bytes, end)
    }

    fn broken(&self, error: &Error, body: Vec<u8>) -> Reply {
        let too_large = matches!(error, Error::BodyExceedsLimit(_));
        let connected = match error {
            Error::Timeout(at) => !matches!(at, ureq::Timeout::Resolve | ureq::Timeout::Connect),
            Error::Io(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
            Error::HostNotFound | Error::ConnectionFailed | Error::ConnectProxyFailed(_) => false,
            _ => true,
        };
        let reason = match error {
            Error::BodyExceedsLimit(bytes) => format!("the answer is larger than {bytes} bytes"),
            Error::Timeout(at) => format!("timed out ({at})"),
            Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                format!("connection refused; is the server running at {}?", self.url)
            }
            error => error.to_string(),
        };
        Reply::Broken {
            reason: shorten(&self.hide(&reason)),
            connected,
            too_large,
            body: self.hide_bytes(body),
        }
    }

    /// The text without the key, which a server may repeat.
    pub(super) fn hide(&self, text: &str) -> String {
        match &self.key {
            Some(key) => key.hide(text),
            None => text.to_owned(),
        }
    }

    fn hide_bytes(&self, text: Vec<u8>) -> Vec<u8> {
        match &self.key {
            Some(key) => key.hide_bytes(text),
            None => text,
        }
    }
}

/// The variable by its name, if that looks like one; it may be the key itself.
fn named(variable: &str) -> String {
    let usual =
        |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    let told = variable.len() <= 40
        && variable.chars().all(usual)
        && (variable.contains('_') || !variable.contains(|letter: char| letter.is_ascii_digit()));
    match told {
        true => format!("the variable {variable}"),
        false => "the variable that api_key_env names".into(),
    }
}

/// The key in a variable.
fn key(variable: &str) -> Result<Key> {
    let set = "set it (export NAME=...), or leave api_key_env out if the server needs no key";
    let value = env::var(variable);
    let variable = named(variable);
    match value {
        Ok(key) => Key::new(&key, &variable).map_err(|error| anyhow!("{error}; {set}")),
        Err(env::VarError::NotPresent) => bail!("{variable} is not set; {set}"),
        Err(env::VarError::NotUnicode(_)) => bail!("{variable} is not text; {set}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_work_says_how_it_should_look() {
        for (url, expected) in [
            ("http://localhost:8000/v1/", Ok("http://localhost:8000/v1")),
            ("https://example.org", Ok("https://example.org")),
            ("http://[::1]:80/v1", Ok("http://[::1]:80/v1")),
            ("localhost:8000", Err("http://")),
            ("ftp://example.org", Err("http://")),
            ("http://", Err("expected an address")),
            ("", Err("expected an address")),
            ("http://a b/v1", Err("expected an address")),
            ("https://me:secret@example.org/v1", Err("api_key_env")),
            ("https://example.org/v1?a=b", Err("without ?")),
            ("https://example.org/v1#a", Err("without ?")),
            ("https://example.org/v1/chat/completions", Err("appended")),
        ] {
            match (check_base_url(url), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(error), Err(expected)) => {
                    let error = error.to_string();
                    assert!(error.contains(expected), "{url}: {error}");
                    assert!(!error.contains("secret"), "{error}");
                }
                (found, expected) => panic!("{url}: {found:?}, not {expected:?}"),
            }
        }
    }
}
