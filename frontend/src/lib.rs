//! The composition root of the page: hydrates it and gives it the browser.

mod checks;
mod opening;
mod platform;
mod rooms;
mod saving;
mod worker_link;

use platform::BrowserPlatform;
use std::rc::Rc;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// Called by boot.js, which says so if it fails. The two URLs are the only script URLs that its Trusted Types
/// policy admits.
#[wasm_bindgen]
pub async fn hydrate(worker_url: String, rooms_url: String) -> Result<(), JsError> {
    // A release build says nothing: a panic's text may hold what somebody wrote.
    #[cfg(debug_assertions)]
    console_error_panic_hook::set_once();
    rly_app::hydrate(Rc::new(BrowserPlatform::new(worker_url, rooms_url)))
        .await
        .map_err(|rly_app::NotLoaded| JsError::new("a part of this page could not be loaded"))
}
