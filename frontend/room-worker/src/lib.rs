//! The rooms of one browser. Each tab that shows one has a worker; the one that holds the Web Lock
//! leads: it runs a machine for each room that is shown, with the store and a socket for each. The others
//! send it their page's commands and show their page what it says.

mod leader;
mod rooms;

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

/// Called by boot.js.
///
/// # Errors
/// What the browser threw. The page hears of it, as of every panic, and starts a fresh worker.
#[wasm_bindgen]
pub fn start() -> Result<(), JsValue> {
    // A release build says nothing: a panic's text may hold what somebody wrote.
    #[cfg(debug_assertions)]
    console_error_panic_hook::set_once();
    rly_browser::worker::start(leader::start)
}
