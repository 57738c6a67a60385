//! Randomness from WebCrypto.

use crate::global;
use wasm_bindgen::UnwrapThrowExt;

/// Random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It refuses more than 65,536 bytes at once and nothing else; going on without randomness is
    // not an option.
    global::crypto()
        .get_random_values_with_u8_array(&mut bytes)
        .unwrap_throw();
    bytes
}
