//! The safety code: what two people compare to know that nobody is between them.

use rly_protocol::PublicKey;
use sha2::{Digest, Sha512};

/// 60 decimal digits, the same on both sides: 30 from each SIM key, the lower half first.
///
/// A half is the first 30 bytes of SHA-512(label || key) in six groups of five bytes, each read as
/// a big-endian number modulo 10^5, as in Signal's numeric fingerprint. A half holds nearly 100
/// bits, so no stretching is needed.
pub fn safety_code(a: &PublicKey, b: &PublicKey) -> String {
    let mut halves = [half(a), half(b)];
    halves.sort();
    halves.concat()
}

fn half(key: &PublicKey) -> String {
    let hash = Sha512::new()
        .chain_update(b"rly safety code v1\0")
        .chain_update(key.as_bytes())
        .finalize();
    hash[..30]
        .chunks(5)
        .map(|group| {
            let number = group.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            format!("{:05}", number % 100_000)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sim;

    #[test]
    fn both_sides_see_the_same_digits() {
        let [a, b, c] = [1, 2, 3].map(|i| Sim::from_seed(&[i; 32]).public_key());
        let code = safety_code(&a, &b);
        assert_eq!(code.len(), 60);
        assert!(code.bytes().all(|digit| digit.is_ascii_digit()));
        assert_eq!(code, safety_code(&b, &a));
        assert_ne!(code, safety_code(&a, &c));
        assert_eq!(
            code,
            "298594752963821607223088276928371735705007684065676020296669"
        );
    }
}
