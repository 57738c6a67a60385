//! The composition root of the page: hydrates it and gives it the browser.

mod checks;
mod opening;
mod platform;
#[cfg(feature = "rooms")]
mod rooms;
mod saving;
mod worker_link;

use platform::BrowserPlatform;
use std::rc::Rc;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// Called by boot.js, which says so if it fails. `worker_url` is the one script URL that its Trusted Types policy admits.
#[cfg(not(feature = "rooms"))]
#[wasm_bindgen]
pub async fn hydrate(worker_url: String) -> Result<(), JsError> {
    bring_to_life(BrowserPlatform::new(worker_url)).await
}

/// The same for the pages of rooms, which have two workers.
#[cfg(feature = "rooms")]
#[wasm_bindgen]
pub async fn hydrate(worker_url: String, rooms_url: String) -> Result<(), JsError> {
    bring_to_life(BrowserPlatform::new(worker_url, rooms_url)).await
}

async fn bring_to_life(platform: BrowserPlatform) -> Result<(), JsError> {
    // A release build says nothing: a panic's text may hold what somebody wrote.
    #[cfg(debug_assertions)]
    console_error_panic_hook::set_once();
    rly_app::hydrate(Rc::new(platform))
        .await
        .map_err(|rly_app::NotLoaded| JsError::new("a part of this page could not be loaded"))
}
