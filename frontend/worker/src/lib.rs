//! The messenger of one browser. Each tab has a worker; the one that holds the Web Lock leads: it
//! runs the machine with the store and the socket. The others send it their page's commands and
//! show their page what it says. When the leader goes, the lock's next holder loads what is stored
//! and goes on.

mod http;
mod leader;

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

// Two crates that must not know each other name the same table.
const _: () = assert!(rly_client::table::LETTERS == rly_view::OpenedLetter::TABLE);
const _: () = assert!(rly_client::table::ANSWERED == rly_view::AnsweredLetter::TABLE);

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
