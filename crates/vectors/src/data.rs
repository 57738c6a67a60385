//! The vectors, as `extract.mjs` wrote them.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};

/// Bytes, in hex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        unhex(&text).map(Self).ok_or_else(|| D::Error::custom("not hex"))
    }
}

impl core::ops::Deref for Hex {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let bytes = (0..text.len()).step_by(2);
    bytes
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

/// What a vector says of itself.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Has to be accepted.
    Valid,
    /// Has to be refused.
    Invalid,
    /// May be refused. Here it is a compressed point, which we refuse.
    Acceptable,
}

/// A file of `data/`.
// It is part of the program: what is wrong with it is wrong for everybody, at once.
#[allow(clippy::expect_used)]
pub fn load<T: DeserializeOwned>(json: &str) -> Vec<T> {
    serde_json::from_str(json).expect("a file as extract.mjs writes it")
}
