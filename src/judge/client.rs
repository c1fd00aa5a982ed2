//! One HTTP request to a chat completions endpoint: within its time, of bounded size, its key told to
//! nobody else.

use std::env;
use std::io::Read as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use ureq::http::{HeaderValue, Uri};
use ureq::{Agent, Body, Error};

use super::completion::shorten;
use super::retry;
use super::secret::{SHORTEST, Secret};

/// Sends requests to one server.
pub(super) struct Client {
    agent: Agent,
    url: String,
    key: Option<Key>,
    max_bytes: usize,
}

struct Key {
    header: HeaderValue,
    secret: Secret,
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
    let trimmed = base_url.trim_end_matches('/');
    let uri: Uri = trimmed.parse().map_err(|error| {
        anyhow!("expected an address such as \"http://localhost:8000/v1\" ({error})")
    })?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        bail!("expected an address that begins with http:// or https://");
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        bail!(
            "expected no user or password in the address; name the key's variable in api_key_env"
        );
    }
    if uri.host().is_none_or(str::is_empty) {
        bail!("expected an address with a host");
    }
    if trimmed.contains(['?', '#']) {
        bail!("expected an address without ? and #");
    }
    if trimmed.ends_with("/chat/completions") {
        bail!("expected the address without /chat/completions, which is appended to it");
    }
    Ok(trimmed.to_owned())
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
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect is an answer of its own: the key and the question go to no other host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(connect_timeout.min(timeout)))
            .timeout_connect(Some(connect_timeout.min(timeout)))
            // Beside a model's answer a new connection costs little, and on an old one a server that
            // repeats itself would have its repetition taken for the answer to the next question.
            .max_idle_connections(0)
            .user_agent(concat!("rapport/", env!("CARGO_PKG_VERSION")));
        let uri: Uri = base_url.parse().context(base_url.to_owned())?;
        if matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().into(),
            url: format!("{base_url}/chat/completions"),
            key: api_key_env.map(Key::read).transpose()?,
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
        let hidden = self.hide_bytes(text.as_bytes().to_vec());
        String::from_utf8_lossy(&hidden).into_owned()
    }

    fn hide_bytes(&self, text: Vec<u8>) -> Vec<u8> {
        match &self.key {
            Some(key) => key.secret.hide(text),
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

impl Key {
    fn read(variable: &str) -> Result<Self> {
        let set = "set it (export NAME=...), or leave api_key_env out if the server needs no key";
        let value = env::var(variable);
        let variable = named(variable);
        let secret = match value {
            Ok(secret) => secret.trim().to_owned(),
            Err(env::VarError::NotPresent) => bail!("{variable} is not set; {set}"),
            Err(env::VarError::NotUnicode(_)) => {
                bail!("{variable} is not text; {set}")
            }
        };
        if secret.is_empty() {
            bail!("{variable} is empty; {set}");
        }
        // The library's own error would be fine today, but must never come to show the value.
        let mut header = HeaderValue::from_str(&format!("Bearer {secret}"))
            .map_err(|_| anyhow!("{variable} holds characters that no key has; {set}"))?;
        header.set_sensitive(true);
        if secret.len() < SHORTEST {
            bail!(
                "{variable} holds fewer than {SHORTEST} characters, too few to be kept out of what the server \
                 repeats; give a longer key, or leave api_key_env out if the server needs none"
            );
        }
        let secret = Secret::new(&secret);
        Ok(Self { header, secret })
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
