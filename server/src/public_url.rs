//! The origin under which people reach the server.

use http::{HeaderValue, Uri, uri::Authority};
use std::{fmt, net::SocketAddr, str::FromStr};
use thiserror::Error;

/// An http(s) origin, written as browsers write it: lower case, no default port, no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    authority: Authority,
    https: bool,
}

/// Not an origin.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an http or https address without path, like https://chat.example.org")]
pub struct PublicUrlError;

/// Names of this machine for itself.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

impl PublicUrl {
    /// What a listener's address looks like from this machine.
    ///
    /// # Errors
    /// None in practice: an address with a port is an origin.
    pub fn of_listener(addr: SocketAddr) -> Result<Self, PublicUrlError> {
        let port = addr.port();
        match addr {
            _ if addr.ip().is_unspecified() => format!("http://127.0.0.1:{port}"),
            addr => format!("http://{addr}"),
        }
        .parse()
    }

    /// `https://host[:port]`.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// Is it reached by https?
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Is this the value of an `Origin` header of a page of ours?
    pub fn is_origin(&self, origin: &HeaderValue) -> bool {
        origin.as_bytes() == self.origin.as_bytes()
    }

    /// Is this `Host` another name of this machine, at the same port, than the public one? Storage
    /// in a browser belongs to one origin, so such a visitor is sent to the right one.
    pub fn is_alias(&self, host: &HeaderValue) -> bool {
        let ours = self.authority.host();
        let Some(Ok(host)) = host.to_str().ok().map(Authority::from_str) else {
            return false;
        };
        let port = |authority: &Authority| authority.port_u16().unwrap_or(if self.https { 443 } else { 80 });
        LOOPBACK.contains(&ours)
            && LOOPBACK.contains(&host.host().to_ascii_lowercase().as_str())
            && !host.host().eq_ignore_ascii_case(ours)
            && port(&host) == port(&self.authority)
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let text = text.to_ascii_lowercase();
        let uri: Uri = text.parse().map_err(|_| PublicUrlError)?;
        let (https, default) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(PublicUrlError),
        };
        let authority = uri.authority().ok_or(PublicUrlError)?;
        let plain = !authority.as_str().contains('@')
            && !authority.host().is_empty()
            && uri.path() == "/"
            && uri.query().is_none()
            && !text.contains('#')
            && authority.port_u16() != Some(0);
        // A port that is no number up to 65,535 is none to `port_u16`, but still there.
        let port_is_odd = authority.port_u16().is_none() && authority.as_str() != authority.host();
        if !plain || port_is_odd {
            return Err(PublicUrlError);
        }
        let authority = match authority.port_u16() {
            Some(port) if port != default => authority.clone(),
            _ => authority.host().parse().map_err(|_| PublicUrlError)?,
        };
        let scheme = if https { "https" } else { "http" };
        Ok(Self {
            origin: format!("{scheme}://{authority}"),
            authority,
            https,
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for (given, origin) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("https://Chat.Example.org", "https://chat.example.org"),
            ("https://chat.example.org:443/", "https://chat.example.org"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(given.parse::<PublicUrl>().unwrap().as_str(), origin);
        }
        for bad in [
            "",
            "chat.example.org",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://a:0",
            "https://a:99999",
            "https:///x",
        ] {
            assert_eq!(bad.parse::<PublicUrl>(), Err(PublicUrlError), "{bad}");
        }
        let anywhere = PublicUrl::of_listener("0.0.0.0:3000".parse().unwrap()).unwrap();
        assert_eq!(anywhere.as_str(), "http://127.0.0.1:3000");
        let six = PublicUrl::of_listener("[::1]:3000".parse().unwrap()).unwrap();
        assert_eq!(six.as_str(), "http://[::1]:3000");
    }

    #[test]
    fn other_names_of_this_machine_are_aliases() {
        let url: PublicUrl = "http://127.0.0.1:3000".parse().unwrap();
        let alias = |host: &str| url.is_alias(&HeaderValue::from_str(host).unwrap());
        assert!(alias("localhost:3000") && alias("[::1]:3000") && alias("LOCALHOST:3000"));
        assert!(!alias("127.0.0.1:3000") && !alias("localhost:3001") && !alias("example.org:3000"));
        let far: PublicUrl = "https://example.org".parse().unwrap();
        assert!(!far.is_alias(&HeaderValue::from_static("localhost")));
    }
}
