//! Base64url without padding (RFC 4648, section 5), in constant time.

use base64ct::{Base64UrlUnpadded, Encoding};
use thiserror::Error;

/// The text is not base64url without padding.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not base64url without padding")]
pub struct Base64Error;

/// Bytes as text.
pub fn to_base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Text as bytes.
///
/// # Errors
/// [`Base64Error`] for other characters, padding, or bits that do not end in zeros.
pub fn from_base64url(text: &str) -> Result<Vec<u8>, Base64Error> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| Base64Error)
}
