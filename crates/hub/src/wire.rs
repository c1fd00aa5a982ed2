//! Requests to a hub and to the hosts that it sends one on to. The token goes to the hub alone, whatever host a redirect or
//! an upload's address names.

mod address;
mod pace;

use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use rapport_http::{Key, agent_for, retry, shorten};
use rapport_store::Stop;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, AsSendBody, Body, RequestBuilder};

use super::error::{HubError, Trouble, Why};
use super::settings::Settings;
use address::{Origin, joined};
use pace::Pace;

/// How often something is tried in all, as long as nothing comes of it.
pub(crate) const TRIES: u32 = 5;

/// The longest wait between tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The largest answer that is no file.
const LARGEST: u64 = 64 << 20;

/// Hosts that a request may be sent on to, one after the other.
const MOST_HOPS: usize = 10;

/// One hub.
pub(crate) struct Wire {
    agent: Agent,
    pub endpoint: String,
    origin: Origin,
    token: Option<Key>,
    pub offline: bool,
    patience: Duration,
    first_wait: Duration,
}

/// A response, and where it came from in the end.
pub(crate) struct Answer {
    pub response: Response<Body>,
    pub address: String,
    /// The last headers that the hub itself sent, before it sent us on.
    pub hub: HeaderMap,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Method {
    Head,
    Get,
    Post,
    Put,
}

/// The request with these headers, and the token where there is one to be told.
fn with<T>(
    mut request: RequestBuilder<T>,
    headers: &[(&str, &str)],
    token: Option<&Key>,
) -> RequestBuilder<T> {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match token {
        Some(token) => request.header("Authorization", token.header.clone()),
        None => request,
    }
}

impl Wire {
    pub fn new(settings: &Settings) -> Result<Self> {
        let token = settings.token.as_ref();
        let token = token.map(|token| Key::new(&token.value, &token.origin));
        let config = agent_for(&settings.endpoint)
            .timeout_resolve(Some(settings.patience))
            .timeout_connect(Some(settings.patience))
            .timeout_recv_response(Some(3 * settings.patience))
            .timeout_per_read(Some(settings.patience))
            .timeout_per_write(Some(settings.patience))
            // A size is that of the file, not of what is sent for it.
            .accept_encoding("identity");
        let origin = Origin::of(&settings.endpoint);
        Ok(Self {
            agent: config.build().into(),
            endpoint: settings.endpoint.clone(),
            origin: origin.context("HF_ENDPOINT: expected an address such as https://HOST")?,
            token: token.transpose().context("the hub's token")?,
            offline: settings.offline,
            patience: settings.patience,
            first_wait: settings.first_wait,
        })
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the address is the hub's own.
    pub fn is_hub(&self, address: &str) -> bool {
        Origin::of(address).as_ref() == Some(&self.origin)
    }

    /// The text without the token, short and on one line.
    pub fn shown(&self, text: &str) -> String {
        shorten(&match &self.token {
            Some(token) => token.hide(text),
            None => text.to_owned(),
        })
    }

    /// The host of an address, without what may be signed in it.
    fn host(&self, address: &str) -> String {
        match Origin::of(address) {
            Some(Origin(scheme, host, port)) => self.shown(&format!("{scheme}://{host}:{port}")),
            None => "an address that cannot be used".into(),
        }
    }

    /// Tries until it comes off, an error that lasts, or too many tries.
    ///
    /// # Errors
    /// [`rapport_store::Stopped`], or the last try's.
    pub fn retry<T>(
        &self,
        stop: &Stop,
        mut attempt: impl FnMut() -> Result<T, Trouble>,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            let trouble = match attempt() {
                Ok(value) => return Ok(value),
                Err(trouble) => trouble,
            };
            tries += 1;
            if !trouble.again || tries >= TRIES {
                return Err(trouble.error);
            }
            self.wait(tries - 1, trouble.asked, stop)?;
        }
    }

    /// Waits before try number `attempt` + 2.
    pub fn wait(&self, attempt: u32, asked: Option<Duration>, stop: &Stop) -> Result<()> {
        let wait = retry::wait(attempt, self.first_wait, LONGEST_WAIT, asked);
        let until = Instant::now() + wait;
        while Instant::now() < until {
            stop.check()?;
            thread::sleep(Duration::from_millis(50).min(until - Instant::now().min(until)));
        }
        Ok(())
    }

    /// Sends a request without a body, and goes where the answer sends it on to.
    ///
    /// A HEAD ends where it would leave the hub: that answer says what there is, and where.
    pub fn ask(
        &self,
        method: Method,
        address: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Trouble> {
        let mut address = address.to_owned();
        let mut hub = HeaderMap::new();
        for _ in 0..=MOST_HOPS {
            let response = self.send(method, &address, headers, ())?;
            if self.is_hub(&address) {
                hub = response.headers().clone();
            }
            let code = response.status().as_u16();
            let to = match code {
                301 | 302 | 303 | 307 | 308 => text(response.headers(), "Location"),
                _ => None,
            };
            let Some(to) = to else {
                return Ok(Answer {
                    response,
                    address,
                    hub,
                });
            };
            let next = joined(&address, to).filter(|next| Origin::of(next).is_some());
            let Some(next) = next else {
                let to = self.shown(to);
                return Err(self.wrong(
                    &address,
                    &format!("sends on to {to:?}, which is no address"),
                ));
            };
            if address.starts_with("https:") && !next.starts_with("https:") {
                let message = format!("sends on to {}, which is not encrypted", self.host(&next));
                return Err(self.wrong(&address, &message));
            }
            if method == Method::Head && !self.is_hub(&next) {
                return Ok(Answer {
                    response,
                    address: next,
                    hub,
                });
            }
            address = next;
        }
        Err(self.wrong(&address, "sends on in a circle"))
    }

    fn wrong(&self, address: &str, message: &str) -> Trouble {
        Trouble::last(Why::Wrong, format!("{} {message}", self.host(address)))
    }

    /// Sends one request. The token is among its headers only if the address is the hub's.
    pub fn send(
        &self,
        method: Method,
        address: &str,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
    ) -> Result<Response<Body>, Trouble> {
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        if method == Method::Get || method == Method::Head {
            all.push(("Accept-Encoding", "identity"));
        }
        let token = self.token.as_ref().filter(|_| self.is_hub(address));
        let agent = &self.agent;
        let result = match method {
            Method::Head => with(agent.head(address), &all, token).call(),
            Method::Get => with(agent.get(address), &all, token).call(),
            Method::Post => with(agent.post(address), &all, token).send(body),
            Method::Put => with(agent.put(address), &all, token).send(body),
        };
        result.map_err(|error| self.broken(address, &error))
    }

    /// What a connection that broke amounts to.
    fn broken(&self, address: &str, error: &ureq::Error) -> Trouble {
        let reason = match error {
            ureq::Error::Timeout(_) => format!("said nothing for {:?}", self.patience),
            ureq::Error::BadUri(_) => return self.wrong(address, "is no address"),
            // What a bad header or address says might repeat what was sent.
            error => format!(
                "did not answer as a server does: {}",
                self.shown(&error.to_string())
            ),
        };
        Trouble::passing(Why::Unreachable, format!("{} {reason}", self.host(address)))
    }

    /// The answer, unless its status is that of an error; `what` was asked for.
    pub fn good(
        &self,
        what: &dyn std::fmt::Display,
        address: &str,
        response: Response<Body>,
    ) -> Result<Response<Body>, Trouble> {
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let (headers, mut body) = response.into_parts();
        let headers = headers.headers;
        let mut said = text(&headers, "X-Error-Message").map(str::to_owned);
        if said.is_none() {
            let mut start = Vec::new();
            let _ = body.as_reader().take(1 << 14).read_to_end(&mut start);
            let json: Option<serde_json::Value> = serde_json::from_slice(&start).ok();
            said = json.and_then(|json| {
                let error = json.get("error").or(json.get("message"))?;
                Some(error.as_str()?.to_owned())
            });
        }
        let said = said.map(|said| format!(" ({})", self.shown(&said)));
        let said = said.unwrap_or_default();
        let host = self.host(address);
        let tokened = match &self.token {
            Some(_) => "the token that HF_TOKEN or its file gives is not enough",
            None => "no token was given: set HF_TOKEN",
        };
        let code = text(&headers, "X-Error-Code").unwrap_or_default();
        let asked = text(&headers, "Retry-After")
            .and_then(|text| retry::retry_after(text, SystemTime::now()));
        let (why, message) = match (status, code) {
            (_, "GatedRepo") => (
                Why::Denied,
                format!(
                    "{what}: {host} has it for those who accepted its terms; do so on its page, then {tokened}{said}"
                ),
            ),
            (_, "RevisionNotFound") => (
                Why::NoRevision,
                format!("{what}: no such revision on {host}{said}"),
            ),
            (_, "EntryNotFound") => (Why::NoFile, format!("{what}: no such file on {host}{said}")),
            (_, "RepoNotFound") => (
                Why::NoRepo,
                format!(
                    "{what}: no such repository on {host}, or a private one: check the name; {tokened}{said}"
                ),
            ),
            (401, _) => (
                Why::Denied,
                format!(
                    "{what}: {host} does not know who asks, or has no such repository: check the name; {tokened}{said}"
                ),
            ),
            (403, _) => (
                Why::Denied,
                format!("{what}: {host} forbids it; {tokened}{said}"),
            ),
            (404, _) => (
                Why::NoRepo,
                format!("{what}: {host} has no such thing; check the name and the revision{said}"),
            ),
            (408 | 425 | 429 | 500 | 502 | 503 | 504, _) => {
                let message = format!("{what}: {host} answered {status}{said}");
                return Err(Trouble {
                    asked,
                    ..Trouble::passing(Why::Unreachable, message)
                });
            }
            _ => (
                Why::Wrong,
                format!("{what}: {host} answered {status}{said}"),
            ),
        };
        Err(Trouble::last(why, message))
    }

    /// Hands what an answer holds to `take`, part by part as it comes.
    pub fn read(
        &self,
        address: &str,
        mut response: Response<Body>,
        mut take: impl FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut reader = response.body_mut().as_reader();
        let mut pace = Pace::new(self.patience);
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = reader.read(&mut buffer).map_err(|error| {
                let error = error.downcast::<ureq::Error>();
                self.broken(address, &error.unwrap_or_else(ureq::Error::Io))
            })?;
            if count == 0 {
                return Ok(());
            }
            take(&buffer[..count])?;
            if !pace.keeps(count) {
                let message = format!("{} sends next to nothing", self.host(address));
                return Err(Trouble::passing(Why::Unreachable, message));
            }
        }
    }

    /// Reads an answer's JSON.
    pub fn json<T: DeserializeOwned>(
        &self,
        what: &dyn std::fmt::Display,
        address: &str,
        response: Response<Body>,
    ) -> Result<T, Trouble> {
        let mut bytes = Vec::new();
        self.read(address, response, |part| {
            bytes.extend_from_slice(part);
            match bytes.len() as u64 > LARGEST {
                true => Err(self.wrong(address, "says more than can be read")),
                false => Ok(()),
            }
        })?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let error = self.shown(&error.to_string());
            self.wrong(
                address,
                &format!("answers {what} with what is no such JSON: {error}"),
            )
        })
    }

    /// A request with a body of JSON, tried again where that may help.
    pub fn post(
        &self,
        what: &dyn std::fmt::Display,
        address: &str,
        headers: &[(&str, &str)],
        body: &str,
        stop: &Stop,
    ) -> Result<serde_json::Value> {
        let kind = ("Content-Type", "application/json");
        let mut all = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == kind.0) {
            all.push(kind);
        }
        self.retry(stop, || {
            let response = self.send(Method::Post, address, &all, body)?;
            let response = self.good(what, address, response)?;
            self.json(what, address, response)
        })
    }

    /// # Errors
    /// Always where nothing may be asked.
    pub fn online(&self, what: &dyn std::fmt::Display) -> Result<()> {
        match self.offline {
            false => Ok(()),
            true => Err(Self::unasked(what).into()),
        }
    }

    /// The error of what is needed where nothing may be asked.
    pub fn unasked(what: &dyn std::fmt::Display) -> HubError {
        let message =
            format!("{what} is not in the cache, and HF_HUB_OFFLINE keeps it from being asked for");
        HubError::new(Why::Unreachable, message)
    }
}

/// A header's text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
