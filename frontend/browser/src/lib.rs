//! What the page and the worker both do with the browser: storage that is sealed at rest, opened
//! letters, randomness and the clock. Neither MLS nor the messenger is in here, so the page stays small.

mod at_rest;
pub mod clock;
mod db;
mod error;
mod global;
pub mod graphemes;
pub mod letters;
pub mod message;
mod migrations;
pub mod random;
mod requests;
pub mod signing;
mod store;
pub mod talk;
#[cfg(feature = "vectors")]
pub mod vectors;
mod webcrypto;
#[cfg(feature = "worker")]
pub mod worker;

pub use error::StoreError;
pub use store::{Batch, Key, Row, Store};

/// The first thing that a worker says to its page: it listens now. All that follows is bytes: [`message`].
pub const WORKER_READY: &str = "ready";
