//! Files, the clipboard and the promise to keep storage.

use js_sys::{Array, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Navigator, Url, window};

/// How long a browser gets to begin a download before the file's address is taken back.
const DOWNLOAD_BEGINS_MS: u32 = 60_000;

/// Asks the browser to keep the storage. `None`: it cannot say.
pub(crate) async fn persist() -> Option<bool> {
    let navigator = window()?.navigator();
    if !has(&navigator, "storage") {
        return None;
    }
    let asked = navigator.storage().persist().ok()?;
    JsFuture::from(asked).await.ok()?.as_bool()
}

/// Saves a text as a file, if the browser lets us.
pub(crate) fn download(name: &str, text: &str) {
    // What fails here the browser itself reports, and there is nothing to take back.
    let _ = try_download(name, text);
}

fn try_download(name: &str, text: &str) -> Result<(), JsValue> {
    let document = window()
        .and_then(|window| window.document())
        .ok_or(JsValue::UNDEFINED)?;
    let kind = BlobPropertyBag::new();
    kind.set_type("application/octet-stream");
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &kind)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let anchor: HtmlAnchorElement = document.create_element("a")?.dyn_into()?;
    anchor.set_href(&url);
    anchor.set_download(name);
    anchor.click();
    gloo::timers::callback::Timeout::new(DOWNLOAD_BEGINS_MS, move || {
        // The only error is an address that is gone already.
        let _ = Url::revoke_object_url(&url);
    })
    .forget();
    Ok(())
}

/// Copies a text; whether it worked.
pub(crate) async fn copy(text: String) -> bool {
    let Some(navigator) = window().map(|window| window.navigator()) else {
        return false;
    };
    if !has(&navigator, "clipboard") {
        return false;
    }
    JsFuture::from(navigator.clipboard().write_text(&text))
        .await
        .is_ok()
}

/// Some of a navigator's parts are missing in older browsers and outside secure contexts.
fn has(navigator: &Navigator, part: &str) -> bool {
    Reflect::get(navigator, &part.into()).is_ok_and(|part| part.is_truthy())
}
