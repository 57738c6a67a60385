//! Public keys and signatures as they travel: checked for form here, for meaning where they are used.

use crate::{Base64Error, Decode, DecodeError, Encode, Reader, Writer, from_base64url, to_base64url};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A P-256 public key: SEC1, uncompressed, 65 bytes. That the point is on the curve is checked by
/// whoever computes with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublicKey([u8; 65]);

/// Not an uncompressed SEC1 point of P-256.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an uncompressed P-256 public key")]
pub struct KeyError;

impl PublicKey {
    /// The bytes, first of them 4.
    pub fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = KeyError;
    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 65] = bytes.try_into().map_err(|_| KeyError)?;
        if bytes[0] == 4 {
            Ok(Self(bytes))
        } else {
            Err(KeyError)
        }
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = from_base64url(text).map_err(|Base64Error| KeyError)?;
        Self::try_from(&bytes[..])
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        to_base64url(&key.0)
    }
}

impl Encode for PublicKey {
    fn encode(&self, to: &mut Writer) {
        to.raw(&self.0);
    }
}

impl Decode for PublicKey {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Self::try_from(&from.raw(65)?[..]).map_err(|KeyError| DecodeError::Invalid)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(..)")
    }
}

/// An ECDSA P-256 signature over SHA-256: r and s, 32 bytes each (IEEE P1363, as in WebCrypto and JWS).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Encode for Signature {
    fn encode(&self, to: &mut Writer) {
        to.raw(&self.0);
    }
}

impl Decode for Signature {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self(from.take()?))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}
