//! Objects that a page and a worker find under the same names in different global scopes.

use crate::StoreError;
use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Crypto, IdbFactory, SubtleCrypto};

/// `crypto`. Every browser that runs WebAssembly has it.
pub(crate) fn crypto() -> Crypto {
    Reflect::get(&js_sys::global(), &"crypto".into())
        .unwrap_or(JsValue::UNDEFINED)
        .unchecked_into()
}

/// `crypto.subtle`, which is missing outside secure contexts.
pub(crate) fn subtle() -> Result<SubtleCrypto, StoreError> {
    Reflect::get(&crypto(), &"subtle".into())
        .ok()
        .and_then(|subtle| subtle.dyn_into().ok())
        .ok_or(StoreError::Refused)
}

/// `indexedDB`, which is missing, or throws, where storage is refused.
pub(crate) fn indexed_db() -> Result<IdbFactory, StoreError> {
    Reflect::get(&js_sys::global(), &"indexedDB".into())
        .ok()
        .and_then(|factory| factory.dyn_into().ok())
        .ok_or(StoreError::Refused)
}
