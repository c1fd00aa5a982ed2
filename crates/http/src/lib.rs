//! What every client of a server needs: a key that is told to one server and to nobody else, waits between tries, and
//! messages of a length that can be read.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod key;
pub mod retry;
mod secret;
mod shown;

use anyhow::{Result, anyhow, bail};
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::typestate::AgentScope;

pub use key::Key;
pub use shown::shorten;

/// An address that requests are appended to, without its last slash.
///
/// # Errors
/// What is wrong with it, and the remedy; `key` says where a key belongs, if not into the address. The address itself is
/// not told: it may hold a password.
pub fn base_address(text: &str, key: &str) -> Result<String> {
    let trimmed = text.trim_end_matches('/');
    let uri: Uri = trimmed.parse().map_err(|error| {
        anyhow!("expected an address such as \"http://localhost:8000\" ({error})")
    })?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        bail!("expected an address that begins with http:// or https://");
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        bail!("expected no user or password in the address; {key}");
    }
    if uri.host().is_none_or(str::is_empty) {
        bail!("expected an address with a host");
    }
    if trimmed.contains(['?', '#']) {
        bail!("expected an address without ? and #");
    }
    Ok(trimmed.to_owned())
}

/// Settings of an agent for a server at this address: a status is an answer, and so is a redirect, since what a request
/// carries goes to no other host.
pub fn agent_for(address: &str) -> ConfigBuilder<AgentScope> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("rapport/", env!("CARGO_PKG_VERSION")));
    let uri = address.parse::<Uri>();
    let local = |uri: Uri| matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match uri.is_ok_and(local) {
        true => config.proxy(None),
        false => config,
    }
}
