//! Padding to one of few sizes, so that a size tells little about a text.
//!
//! Padded = `u32` length, the bytes, zeros. What is sealed is padded first; `overhead` is what
//! sealing adds, so that the final size is one of [`ENVELOPE_SIZES`].

use crate::limits::ENVELOPE_SIZES;
use thiserror::Error;

/// The bytes do not fit into the largest envelope.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("this is too large for one envelope")]
pub struct TooLarge;

/// Pads so that `overhead` more bytes give an allowed size.
///
/// # Errors
/// [`TooLarge`] when even the largest size is too small.
pub fn pad(bytes: &[u8], overhead: usize) -> Result<Vec<u8>, TooLarge> {
    let needed = 4 + bytes.len() + overhead;
    let size = ENVELOPE_SIZES
        .into_iter()
        .find(|size| *size >= needed)
        .ok_or(TooLarge)?;
    let mut padded = Vec::with_capacity(size);
    padded.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    padded.extend_from_slice(bytes);
    padded.resize(size - overhead, 0);
    Ok(padded)
}

/// What was padded; `None` if the length or the zeros are wrong.
pub fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (length, rest) = padded.split_first_chunk::<4>()?;
    let (bytes, zeros) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    zeros.iter().all(|byte| *byte == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_content_comes_back() {
        for (n, size) in [
            (0, 256),
            (256 - 29 - 4, 256),
            (256 - 29 - 3, 1024),
            (65_536 - 33, 65_536),
        ] {
            let padded = pad(&vec![7; n], 29).unwrap();
            assert_eq!(padded.len() + 29, size);
            assert_eq!(unpad(&padded), Some(&vec![7; n][..]));
        }
        assert_eq!(pad(&vec![7; 65_536 - 32], 29), Err(TooLarge));
        assert_eq!(unpad(&[0, 0, 0, 1]), None);
        assert_eq!(unpad(&[0, 0, 0, 0, 1]), None);
        assert_eq!(unpad(&[0, 0]), None);
    }
}
