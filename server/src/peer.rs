//! Who is at the other end: the client's address, through proxies that may tell it.

use http::HeaderMap;
use std::{net::IpAddr, str::FromStr};
use thiserror::Error;

/// The address at the other end of the TCP connection. The accept loop puts it into each request.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub IpAddr);

/// Who may tell the client's address in `X-Forwarded-For`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    ip: IpAddr,
    prefix: u32,
}

/// Not a list of addresses and networks.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{0}' is neither an IP address nor a network like 10.0.0.0/8")]
pub struct ProxiesError(String);

fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    }
}

impl Network {
    fn contains(self, ip: IpAddr) -> bool {
        let ((ours, width), (theirs, other)) = (bits(self.ip), bits(ip));
        let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
        width == other && ours & mask == theirs & mask
    }
}

impl FromStr for TrustedProxies {
    type Err = ProxiesError;

    fn from_str(text: &str) -> Result<Self, ProxiesError> {
        let network = |text: &str| -> Option<Network> {
            let (ip, prefix) = match text.split_once('/') {
                Some((ip, prefix)) => (ip, Some(prefix.parse::<u32>().ok()?)),
                None => (text, None),
            };
            let ip = ip.parse::<IpAddr>().ok()?;
            let prefix = prefix.unwrap_or(bits(ip).1);
            (prefix <= bits(ip).1).then_some(Network { ip, prefix })
        };
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| network(part).ok_or_else(|| ProxiesError(part.into())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl TrustedProxies {
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }

    /// The client's address: the last one in `X-Forwarded-For` that no trusted proxy has, as each
    /// proxy appends whom it saw. Without a trusted proxy the header is not looked at.
    pub(crate) fn client(&self, Remote(remote): Remote, headers: &HeaderMap) -> IpAddr {
        let mut client = remote.to_canonical();
        // Bytes: what the client wrote before its proxy need not be text.
        let told: Vec<&[u8]> = headers
            .get_all("x-forwarded-for")
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        for hop in told.into_iter().rev() {
            if !self.trusts(client) {
                break;
            }
            let hop = core::str::from_utf8(hop).ok();
            match hop.and_then(|hop| hop.trim().parse::<IpAddr>().ok()) {
                Some(ip) => client = ip.to_canonical(),
                None => break,
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn client(trusted: &str, remote: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_str(value).unwrap());
        }
        let trusted: TrustedProxies = trusted.parse().unwrap();
        trusted
            .client(Remote(remote.parse().unwrap()), &headers)
            .to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("", "1.2.3.4", &["9.9.9.9"]), "1.2.3.4");
        assert_eq!(client("10.0.0.0/8", "1.2.3.4", &["9.9.9.9"]), "1.2.3.4");
        assert_eq!(client("10.0.0.0/8", "10.1.1.1", &["8.8.8.8, 9.9.9.9"]), "9.9.9.9");
        assert_eq!(
            client("10.0.0.0/8", "10.1.1.1", &["8.8.8.8", "9.9.9.9, 10.2.2.2"]),
            "9.9.9.9"
        );
        assert_eq!(
            client("10.0.0.0/8", "10.1.1.1", &["8.8.8.8, nonsense"]),
            "10.1.1.1"
        );
        // A client may write what it likes; the proxy adds to it.
        assert_eq!(client("10.0.0.0/8", "10.1.1.1", &["\u{e9}, 9.9.9.9"]), "9.9.9.9");
        assert_eq!(client("10.0.0.0/8", "10.1.1.1", &[]), "10.1.1.1");
        assert_eq!(client("10.0.0.0/8", "::ffff:10.1.1.1", &["9.9.9.9"]), "9.9.9.9");
        assert_eq!(
            client("::1, fd00::/8", "fd12::1", &["2001:db8::1"]),
            "2001:db8::1"
        );
        assert_eq!(client("0.0.0.0/0", "1.2.3.4", &["9.9.9.9"]), "9.9.9.9");
    }

    #[test]
    fn lists_are_read_or_refused() {
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        for bad in ["10.0.0.0/33", "10.0.0/8", "proxy", "::/129", "10.0.0.1/x"] {
            assert_eq!(bad.parse::<TrustedProxies>(), Err(ProxiesError(bad.into())));
        }
    }
}
