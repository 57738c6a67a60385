//! The pages of Rly Chat: rendered on the server, the same for everybody, and brought to life in the
//! browser. What a browser does for them is behind [`platform::Platform`].
#![recursion_limit = "256"]
// The module of rooms does without much of the other pages.
#![cfg_attr(feature = "rooms", allow(dead_code, unused_imports))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// Server and page have to be built alike. RUSTFLAGS in the environment displaces .cargo/config.toml.
#[cfg(not(erase_components))]
compile_error!("build with --cfg erase_components, as .cargo/config.toml does: is RUSTFLAGS set?");

pub mod api;
mod app;
pub mod browser;
mod components;
mod lengths;
mod pages;
pub mod platform;
mod qr;
#[cfg(feature = "ssr")]
mod shell;
mod state;
mod text;
mod thread;
mod time;

pub use app::App;
#[cfg(feature = "hydrate")]
pub use app::hydrate;
#[cfg(feature = "hydrate")]
pub use pages::later::NotLoaded;
#[cfg(feature = "ssr")]
pub use shell::{Assets, PageAssets, shell};
