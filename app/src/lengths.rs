//! How much room a text has left. Limits are in bytes; people are told about characters.

use crate::text::Text;
use rly_protocol::limits::TEXT_MAX;
use rly_view::name::{self, NameError};

/// From how many bytes before the limit on a person is told.
const NEAR: usize = 2_000;

/// What to say about a text's length; nothing while there is plenty of room.
pub fn hint(t: &Text, text: &str) -> Option<String> {
    // Bytes for each character so far: a kind guess at what is still to come.
    let per_char = text.len().div_ceil(text.chars().count().max(1)).max(1);
    match TEXT_MAX.checked_sub(text.len()) {
        Some(left) if left > NEAR => None,
        Some(left) => Some((t.bytes_left)(left / per_char)),
        None => Some((t.bytes_over)((text.len() - TEXT_MAX).div_ceil(per_char))),
    }
}

/// Whether a text fits.
pub fn fits(text: &str) -> bool {
    text.len() <= TEXT_MAX
}

/// A name out of what was typed, or what to say about it.
pub fn name(t: &Text, typed: &str) -> Result<String, &'static str> {
    name::typed(typed).map_err(|error| match error {
        NameError::Empty => t.needs_name,
        NameError::TooLong => t.name_too_long,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::ENGLISH as T;
    use rly_protocol::limits::NAME_MAX;

    #[test]
    fn near_the_limit_one_is_told() {
        assert_eq!(hint(&T, "hello"), None);
        assert_eq!(hint(&T, &"x".repeat(TEXT_MAX - NEAR - 1)), None);
        assert_eq!(
            hint(&T, &"x".repeat(TEXT_MAX - 10)),
            Some("Room for about 10 more characters.".into())
        );
        let over = "é".repeat(TEXT_MAX / 2 + 3);
        assert_eq!(
            hint(&T, &over),
            Some("About 3 characters too long. Please shorten it a little.".into())
        );
        assert!(!fits(&over) && fits(&"x".repeat(TEXT_MAX)));
    }

    #[test]
    fn what_is_wrong_with_a_name_is_said() {
        assert_eq!(name(&T, "  Ada \n"), Ok("Ada".into()));
        assert_eq!(name(&T, "   "), Err(T.needs_name));
        assert_eq!(name(&T, &"x".repeat(NAME_MAX + 1)), Err(T.name_too_long));
    }
}
