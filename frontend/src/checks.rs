//! What a browser must have before anything is claimed or made in it.

use js_sys::Reflect;
use rly_app::platform::Lack;
use rly_browser::{Store, StoreError};
use wasm_bindgen::JsValue;
use web_sys::window;

/// What is missing, if anything.
pub(crate) async fn lack() -> Option<Lack> {
    let window: JsValue = window()?.into();
    if !property(&window, "isSecureContext").is_truthy() {
        return Some(Lack::SecureContext);
    }
    let locks = property(&property(&window, "navigator"), "locks");
    let features = [
        locks,
        property(&window, "Worker"),
        property(&window, "BroadcastChannel"),
        property(&window, "WebSocket"),
    ];
    if features.iter().any(JsValue::is_falsy) {
        return Some(Lack::Features);
    }
    // Some private windows have IndexedDB and refuse to open it, so only trying tells.
    match Store::open().await {
        // That a newer version wrote it, or that it is busy, is said where it is used.
        Ok(_) | Err(StoreError::Newer | StoreError::Blocked | StoreError::Broken) => None,
        Err(StoreError::Refused | StoreError::Full) => Some(Lack::Storage),
    }
}

fn property(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
