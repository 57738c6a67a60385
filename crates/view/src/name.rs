//! Display names: what somebody may type, and what is shown of what others wrote.

use rly_protocol::limits::NAME_MAX;

/// Shown for a name of which nothing can be seen.
pub const UNNAMED: &str = "Unnamed";

/// Controls, line ends, and what turns the direction of the text around it: a name could look like
/// another one, or like words of ours.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What takes no ink. Some of it belongs into names (joiners, variants of emoji), between what can be seen.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{2800}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A name as it was typed, without the white space around it. `None` if it cannot be one: nothing of
/// it is to be seen, it is longer than [`NAME_MAX`] bytes, or it holds controls.
pub fn checked(name: &str) -> Option<&str> {
    let name = name.trim();
    let good = name.len() <= NAME_MAX && !name.chars().any(misleads) && !name.chars().all(is_invisible);
    good.then_some(name)
}

/// A name out of what a person typed: marks of direction, which come along with pasted text, are left
/// out of it.
pub fn typed(text: &str) -> Result<String, NameError> {
    let kept: String = text.chars().filter(|c| !misleads(*c)).collect();
    match checked(&kept) {
        Some(name) => Ok(name.to_owned()),
        None if kept.trim().len() > NAME_MAX => Err(NameError::TooLong),
        None => Err(NameError::Empty),
    }
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing of it is to be seen.
    Empty,
    /// Longer than [`NAME_MAX`] bytes.
    TooLong,
}

/// A name that somebody else gave, as it is shown: without what misleads, cut to [`NAME_MAX`] bytes,
/// and [`UNNAMED`] if nothing is left.
pub fn cleaned(name: &str) -> String {
    let mut kept: String = name.chars().filter(|c| !misleads(*c)).collect();
    kept.truncate(kept.floor_char_boundary(NAME_MAX));
    checked(&kept).unwrap_or(UNNAMED).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_can_be_seen_of_it() {
        assert_eq!(checked("  Ada \n"), Some("Ada"));
        for good in ["علی‌رضا", "👩‍👩‍👧", "Zoë", "שרה", "❤️"] {
            assert_eq!(checked(good), Some(good));
            assert_eq!(cleaned(good), good);
        }
        for bad in [
            "",
            " \t",
            "\u{200b}\u{200d}",
            "\u{3164}",
            "\u{2800} \u{feff}",
            "A\u{202e}dA",
            "\u{2067}Ada",
            "Ada\u{200f}",
            "Ada\nBob",
            "Ada\u{2028}Bob",
            "\u{7}",
        ] {
            assert_eq!(checked(bad), None, "{bad:?}");
        }
        assert_eq!(checked(&"x".repeat(NAME_MAX + 1)), None);
    }

    #[test]
    fn what_is_typed_loses_its_marks() {
        assert_eq!(typed(" \u{200f}שרה\u{200f} "), Ok("שרה".into()));
        assert_eq!(typed("Ada\nBob"), Ok("AdaBob".into()));
        assert_eq!(typed("\u{202e}"), Err(NameError::Empty));
        assert_eq!(typed("  "), Err(NameError::Empty));
        assert_eq!(typed(&"名".repeat(NAME_MAX / 2)), Err(NameError::TooLong));
    }

    #[test]
    fn what_others_call_themselves_is_made_harmless() {
        assert_eq!(cleaned("A\u{202e}dA\u{202c}"), "AdA");
        assert_eq!(cleaned("Ada\nBob"), "AdaBob");
        for nothing in ["", "\u{202e}\u{202c}", "\u{200b}", " \u{3164} "] {
            assert_eq!(cleaned(nothing), UNNAMED, "{nothing:?}");
        }
        let long = cleaned(&"é".repeat(NAME_MAX));
        assert_eq!(long, "é".repeat(NAME_MAX / 2));
        assert_eq!(
            cleaned(&format!("x{long}")).len(),
            NAME_MAX - 1,
            "cut between characters"
        );
    }
}
