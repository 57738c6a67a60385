//! What people and pages hand in, checked at the edge.

use rly_protocol::{from_base64url, limits::TEXT_MAX};
use rly_view::FailureCode;

/// An id as pages write it.
pub(crate) fn parse_id(text: &str) -> Result<[u8; 16], FailureCode> {
    from_base64url(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(FailureCode::NotFound)
}

/// A text as it may be sent.
pub(crate) fn checked_text(text: &str) -> Result<(), FailureCode> {
    if text.trim().is_empty() || text.len() > TEXT_MAX {
        Err(FailureCode::TextInvalid)
    } else {
        Ok(())
    }
}

/// A display name without the white space around it.
pub(crate) fn checked_name(name: &str) -> Result<String, FailureCode> {
    rly_view::name::checked(name)
        .map(ToOwned::to_owned)
        .ok_or(FailureCode::NameInvalid)
}

/// Characters of a text's start.
const PREVIEW: usize = 120;

/// The start of a text, in one line.
pub(crate) fn start_of(text: &str) -> String {
    text.split_whitespace()
        .take(40)
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(PREVIEW)
        .collect()
}
