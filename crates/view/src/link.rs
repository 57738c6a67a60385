//! The link that carries an invite: `/i#<jwt>.<secret><checksum>`.
//!
//! Everything is in the fragment, which browsers do not send. The secret (16 bytes, 22 characters)
//! opens the card and never reaches the server. The checksum (4 characters: the first 3 bytes of
//! the SHA-256 of all characters before it) tells a cut or mangled link before it claims anything.

use core::fmt;
use rly_protocol::{from_base64url, limits::LINK_MAX, to_base64url};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

const SECRET_CHARS: usize = 22;
const CHECKSUM_CHARS: usize = 4;

/// What is in a link's fragment.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Link {
    /// The invite: a JWT, opaque to all but the server that signed it.
    pub invite: String,
    /// What the card is sealed with.
    pub secret: [u8; 16],
}

/// Why a fragment is no link.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LinkError {
    /// There is no fragment at all.
    #[error("there is no link here")]
    Empty,
    /// It is cut, or characters were changed on the way.
    #[error("the link is not complete")]
    Mangled,
}

impl Link {
    /// The fragment, without `#`.
    pub fn to_fragment(&self) -> String {
        let body = format!("{}.{}", self.invite, to_base64url(&self.secret));
        let sum = checksum(&body);
        body + &sum
    }

    /// The whole link on a server's origin.
    pub fn to_url(&self, origin: &str) -> String {
        format!("{origin}/i#{}", self.to_fragment())
    }

    /// Reads a fragment, with or without `#`.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn from_fragment(fragment: &str) -> Result<Self, LinkError> {
        let fragment = fragment.strip_prefix('#').unwrap_or(fragment).trim();
        if fragment.is_empty() {
            return Err(LinkError::Empty);
        }
        if !fragment.is_ascii() || fragment.len() > LINK_MAX {
            return Err(LinkError::Mangled);
        }
        let cut = fragment
            .len()
            .checked_sub(CHECKSUM_CHARS)
            .ok_or(LinkError::Mangled)?;
        let (body, sum) = fragment.split_at(cut);
        if checksum(body) != sum {
            return Err(LinkError::Mangled);
        }
        let (invite, secret) = body.rsplit_once('.').ok_or(LinkError::Mangled)?;
        if invite.is_empty() || secret.len() != SECRET_CHARS {
            return Err(LinkError::Mangled);
        }
        let secret = from_base64url(secret).map_err(|_| LinkError::Mangled)?;
        let secret = secret.try_into().map_err(|_| LinkError::Mangled)?;
        Ok(Self {
            invite: invite.to_owned(),
            secret,
        })
    }
}

fn checksum(body: &str) -> String {
    to_base64url(&Sha256::digest(body.as_bytes())[..3])
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_back_and_every_mangling_is_noticed() {
        let link = Link {
            invite: "eyJhbGciOiJFUzI1NiJ9.e30.c2ln".into(),
            secret: [7; 16],
        };
        let fragment = link.to_fragment();
        assert_eq!(Link::from_fragment(&fragment), Ok(link.clone()));
        assert_eq!(Link::from_fragment(&format!("#{fragment}")), Ok(link));
        for n in 1..fragment.len() {
            assert_eq!(
                Link::from_fragment(&fragment[..n]),
                Err(LinkError::Mangled),
                "cut to {n}"
            );
        }
        for n in 0..fragment.len() {
            let mut mangled = fragment.clone().into_bytes();
            mangled[n] = if mangled[n] == b'x' { b'y' } else { b'x' };
            assert!(
                Link::from_fragment(core::str::from_utf8(&mangled).unwrap()).is_err(),
                "changed at {n}"
            );
        }
        assert_eq!(Link::from_fragment("#"), Err(LinkError::Empty));
        assert_eq!(Link::from_fragment("ééééééé"), Err(LinkError::Mangled));
    }
}
