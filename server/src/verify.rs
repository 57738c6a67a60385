//! Compares a running server with a build's manifest, as anybody on the network sees it.
//!
//! It finds a server of another build or with changed files, and whatever between it and us changes
//! answers. It cannot find a server that serves others something else than it serves us.

use crate::{
    PublicUrl,
    manifest::{Answer, Manifest, Sent},
};
use http::{HeaderMap, header};
use std::{fmt, time::Duration};
use thiserror::Error;
use ureq::{
    Agent, Body,
    config::AutoHeaderValue,
    tls::{RootCerts, TlsConfig},
};

/// For one answer; a slow line takes some seconds for the largest.
const PATIENCE: Duration = Duration::from_secs(120);
/// Many times the largest answer; a lying server shall not fill our memory.
const SIZE_MAX: u64 = 64 << 20;
/// What no build sends, and what a browser would act upon.
const FOREIGN: [header::HeaderName; 3] = [header::LINK, header::REFRESH, header::SET_COOKIE];

/// What is not as the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    path: String,
    encoding: String,
    what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.path, self.encoding, self.what)
    }
}

/// Nothing could be compared.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// It does not answer, or its certificate is not one that this machine trusts.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, Box<ureq::Error>),
}

/// Asks for every answer in every encoding.
///
/// # Errors
/// [`VerifyError`] as soon as one answer does not come.
pub fn verify(url: &PublicUrl, manifest: &Manifest) -> Result<Vec<Difference>, VerifyError> {
    let agent = agent();
    let mut differences = Vec::new();
    for (path, answer) in &manifest.answers {
        for (encoding, sent) in &answer.encodings {
            let found = ask(&agent, &format!("{url}{path}"), encoding)?;
            let expected = Expected {
                headers: manifest,
                answer,
                encoding,
                sent,
            };
            differences.extend(expected.compare(&found).into_iter().map(|what| Difference {
                path: path.clone(),
                encoding: encoding.clone(),
                what,
            }));
        }
    }
    Ok(differences)
}

fn agent() -> Agent {
    // It fails where there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(PATIENCE))
        // A server need not know who asks.
        .user_agent(AutoHeaderValue::None)
        .build()
        .new_agent()
}

struct Found {
    status: u16,
    headers: HeaderMap,
    /// `None`: it is larger than anything of ours.
    sent: Option<Sent>,
}

fn ask(agent: &Agent, address: &str, encoding: &str) -> Result<Found, VerifyError> {
    let failed = |error: ureq::Error| VerifyError::Unreachable(address.into(), Box::new(error));
    let (head, mut body) = agent
        .get(address)
        .header(header::ACCEPT_ENCODING, encoding)
        .call()
        .map_err(failed)?
        .into_parts();
    Ok(Found {
        status: head.status.as_u16(),
        sent: receive(&mut body).map_err(failed)?,
        headers: head.headers,
    })
}

fn receive(body: &mut Body) -> Result<Option<Sent>, ureq::Error> {
    match body.with_config().limit(SIZE_MAX).read_to_vec() {
        Ok(bytes) => Ok(Some(Sent::of(&bytes))),
        Err(ureq::Error::BodyExceedsLimit(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Expected<'a> {
    headers: &'a Manifest,
    answer: &'a Answer,
    encoding: &'a str,
    sent: &'a Sent,
}

impl Expected<'_> {
    fn compare(&self, found: &Found) -> Vec<String> {
        let Answer {
            status, content_type, ..
        } = self.answer;
        if found.status != *status {
            return vec![format!("the status is {}, not {status}", found.status)];
        }
        let mut differences = Vec::new();
        let mut header = |name: &str, expected: &str| {
            let values: Vec<_> = found
                .headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            // A browser would act upon both of two.
            if !matches!(&values[..], [one] if one == expected) {
                let values = values.join(", ");
                differences.push(format!("the header {name} is {values:?}, not {expected:?}"));
            }
        };
        header(header::CONTENT_TYPE.as_str(), content_type);
        for (name, value) in &self.headers.headers {
            header(name, value);
        }
        let encoding = found.headers.get(header::CONTENT_ENCODING);
        let encoding = encoding.map_or("identity".into(), |value| {
            String::from_utf8_lossy(value.as_bytes())
        });
        if encoding != self.encoding {
            differences.push(format!("it comes as {encoding}"));
        } else if found.sent.as_ref() != Some(self.sent) {
            differences.push("the content is another".into());
        }
        for name in FOREIGN.iter().filter(|name| found.headers.contains_key(*name)) {
            differences.push(format!("there is a header {name}"));
        }
        differences
    }
}
