//! What page and worker say to each other, for `postMessage`: bytes.

use js_sys::Uint8Array;
use rly_protocol::{Decode, Encode};
use wasm_bindgen::{JsCast, JsValue};

/// A message as it is posted.
pub fn written(message: &impl Encode) -> JsValue {
    Uint8Array::from(&message.to_bytes()[..]).into()
}

/// What was posted; `None` for anything else.
pub fn read<T: Decode>(posted: &JsValue) -> Option<T> {
    let bytes = posted.dyn_ref::<Uint8Array>()?.to_vec();
    T::from_bytes(&bytes).ok()
}
