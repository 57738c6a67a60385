//! What the tests share.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Calls `accepts` with every cut and every flipped byte of `good`; none may be accepted.
pub(crate) fn refuses_all_damage(good: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    assert!(accepts(good));
    for n in 0..good.len() {
        assert!(!accepts(&good[..n]), "cut to {n}");
        let mut flipped = good.to_vec();
        flipped[n] ^= 1;
        assert!(!accepts(&flipped), "byte {n} flipped");
    }
    assert!(!accepts(&[good, &[0]].concat()), "one byte more");
}
