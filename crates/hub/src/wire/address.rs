//! Addresses: whose they are, and where redirects lead.

use ureq::http::Uri;

/// Scheme, host and port: what a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin(pub String, pub String, pub u16);

impl Origin {
    pub fn of(address: &str) -> Option<Self> {
        let uri: Uri = address.parse().ok()?;
        let scheme = uri.scheme_str()?.to_lowercase();
        let usual = match &*scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let plain = !uri.authority()?.as_str().contains('@');
        let host = uri.host().filter(|host| !host.is_empty() && plain)?;
        Some(Self(
            scheme,
            host.to_lowercase(),
            uri.port_u16().unwrap_or(usual),
        ))
    }
}

/// The address that a redirect from `address` leads to.
pub(super) fn joined(address: &str, to: &str) -> Option<String> {
    if to.starts_with("http://") || to.starts_with("https://") {
        return Some(to.to_owned());
    }
    // Another scheme's.
    if to.split(['/', '?', '#']).next()?.contains(':') {
        return Some(to.to_owned());
    }
    let (scheme, rest) = address.split_once("://")?;
    if let Some(rest) = to.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match to.strip_prefix('/') {
        Some(path) => Some(format!("{scheme}://{host}/{path}")),
        None => {
            let path = path.split('?').next().unwrap_or_default();
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            Some(format!("{scheme}://{host}/{folder}/{to}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |a, b| Origin::of(a) == Origin::of(b);
        assert!(same("https://A.b/x", "https://a.b:443/y?z"));
        assert!(!same("https://a.b", "http://a.b"));
        assert!(!same("http://a.b", "http://a.b:8080"));
        assert!(!same("http://a.b", "http://a.b.c"));
        for none in ["ftp://a.b", "/x", "", "http://me@a.b", "file:///x"] {
            assert!(Origin::of(none).is_none(), "{none}");
        }
    }

    #[test]
    fn a_redirect_is_read_from_where_it_stands() {
        for (to, expected) in [
            ("https://c/d", "https://c/d"),
            ("//c/d", "http://c/d"),
            ("/d?e", "http://h:1/d?e"),
            ("d", "http://h:1/a/d"),
            ("ftp://c/d", "ftp://c/d"),
        ] {
            assert_eq!(joined("http://h:1/a/b?q=/", to).unwrap(), expected, "{to}");
        }
    }
}
