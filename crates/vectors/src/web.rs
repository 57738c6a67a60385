//! What the page of `end2end/tests/vectors.spec.ts` calls. Each gives reports as JSON.

use crate::{Report, web_sets};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

/// Everything that also runs natively. The page sets the clock.
///
/// # Errors
/// If the reports cannot be written as JSON.
#[wasm_bindgen]
pub fn in_wasm() -> Result<String, JsValue> {
    console_error_panic_hook::set_once();
    to_json(&crate::run((js_sys::Date::now() / 1000.0) as u64))
}

/// What we use of WebCrypto.
///
/// # Errors
/// What WebCrypto threw where nothing was wrong.
#[wasm_bindgen]
pub async fn on_webcrypto() -> Result<String, JsValue> {
    console_error_panic_hook::set_once();
    to_json(&web_sets::run().await?)
}

fn to_json(reports: &[Report]) -> Result<String, JsValue> {
    serde_json::to_string(reports).map_err(|error| error.to_string().into())
}
