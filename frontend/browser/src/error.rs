//! Why the browser's storage did not do what was asked.

use thiserror::Error;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DomException;

/// Why the browser's storage did not do what was asked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The browser has no storage for us, or took it away.
    #[error("the browser refuses storage")]
    Refused,
    /// There is no room.
    #[error("the browser's storage is full")]
    Full,
    /// A newer version of the app has written it.
    #[error("a newer version of the app has written this storage")]
    Newer,
    /// Another tab holds on to an older version of it.
    #[error("another tab uses an older version of this storage")]
    Blocked,
    /// A row cannot be decrypted or read. Nothing is overwritten.
    #[error("what is stored is damaged")]
    Broken,
}

impl StoreError {
    /// The meaning of an exception that IndexedDB threw or reported.
    pub(crate) fn from_js(error: &JsValue) -> Self {
        match error.dyn_ref::<DomException>().map(DomException::name).as_deref() {
            Some("QuotaExceededError") => Self::Full,
            Some("VersionError") => Self::Newer,
            _ => Self::Refused,
        }
    }
}
